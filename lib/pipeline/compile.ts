/** From a graph to a compiled program: verified, planned, handed to the engine. */
import type { Graph } from '../graph/graph'
import { planMemory, type MemoryPlan } from '../graph/passes/plan'
import { createProgram } from '../graph/program'
import { verify } from '../graph/verify'
import type { Engine } from '../native'

export interface CompiledProgram {
  handle: number
  plan: MemoryPlan
}

export function compileGraph(engine: Engine, graph: Graph): CompiledProgram {
  verify(graph)
  const plan = planMemory(graph)
  return { handle: engine.compile(createProgram(graph, plan)), plan }
}
