/**
 * The interpreter of the PTX check by itself: single instructions with values worked out by hand from the PTX ISA,
 * lanes that part and meet, and what it refuses. Needs no nvcc.
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'

const { buildProgram }: { buildProgram(name: string, variant: object): string } = require('../../../scripts/cuda/sim')
const { interpreter }: { interpreter: object } = require('../../../scripts/cuda/ptx')

interface Result {
  entry: string
  error: string
  results: number[]
}

const registers = `
  .reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<20>; .reg .f32 %f<8>; .reg .b64 %d<10>; .reg .f64 %g<4>;
  ld.param.u64 %d1, [NAME_param_0];
  ld.param.u64 %d2, [NAME_param_1];
  mov.u32 %r0, %tid.x;`
const end = `
  mul.wide.u32 %d9, %r0, 4;
  add.s64 %d9, %d2, %d9;
  st.global.u32 [%d9], %r1;
  ret;`

/** An entry for each body, which leaves its result in %r1; %d1 points to the words, %r0 is the thread. */
function run(bodies: string[], { threads = 32, words = [0] as number[], variables = '' } = {}): Result[] {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lorikeet-ptx-'))
  try {
    const entries = bodies.map((body, i) => {
      const name = `snippet${i}`
      const parameters = `.param .u64 ${name}_param_0, .param .u64 ${name}_param_1`
      return `.visible .entry ${name}(${parameters})\n{${registers.replaceAll('NAME', name)}\n${body}\n${end}\n}`
    })
    const file = path.join(folder, 'snippets.ptx')
    fs.writeFileSync(file, `.version 9.0\n.target sm_80\n.address_size 64\n${variables}\n${entries.join('\n')}\n`)
    const program = buildProgram('ptx/snippets/run', interpreter)
    const output = execFileSync(program, [file, String(threads), ...words.map(String)], { encoding: 'utf8' })
    return output.trim().split('\n').map((line) => JSON.parse(line) as Result)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

const bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!
const float = (value: number): string => `0f${bits(value).toString(16).padStart(8, '0')}`

test('single instructions give what the PTX ISA says', (t) => {
  const low = (code: string): string => `${code} cvt.u32.u64 %r1, %d3;`
  const high = (code: string): string => `${code} shr.u64 %d4, %d3, 32; cvt.u32.u64 %r1, %d4;`
  const real = (code: string): string => `${code} mov.b32 %r1, %f1;`
  const flag = (code: string): string => `${code} selp.u32 %r1, 1, 0, %p1;`
  const cases: [string, number][] = [
    ['add.s32 %r1, 0x7fffffff, 1;', 0x80000000],
    ['sub.u32 %r1, 1, 2;', 0xffffffff],
    ['mul.lo.s32 %r1, -3, 5;', 0xfffffff1],
    ['mul.hi.s32 %r1, -2, 3;', 0xffffffff],
    ['mul.hi.u32 %r1, 0xfffffffe, 3;', 2],
    ['mad.lo.s32 %r1, 7, -2, 4;', 0xfffffff6],
    [high('mul.wide.s32 %d3, -2, 3;'), 0xffffffff],
    [high('mul.wide.u32 %d3, 0xfffffffe, 3;'), 2],
    [high('mad.wide.u32 %d3, 0xffffffff, 2, 0x100000003;'), 3],
    [high('mul.hi.u64 %d3, 0xffffffff00000000, 0x100000000;'), 0],
    [low('mul.hi.u64 %d3, 0xffffffff00000000, 0x100000000;'), 0xffffffff],
    ['div.s32 %r1, -7, 2;', 0xfffffffd],
    ['rem.s32 %r1, -7, 2;', 0xffffffff],
    ['div.u32 %r1, 0xfffffff9, 2;', 0x7ffffffc],
    [low('div.s64 %d3, -7, 2;'), 0xfffffffd],
    ['min.s32 %r1, -1, 1;', 0xffffffff],
    ['min.u32 %r1, -1, 1;', 1],
    ['max.s32 %r1, -1, 1;', 1],
    ['neg.s32 %r1, 5;', 0xfffffffb],
    ['abs.s32 %r1, -5;', 5],
    ['and.b32 %r1, 12, 10;', 8],
    ['xor.b32 %r1, 12, 10;', 6],
    ['not.b32 %r1, 0xffff;', 0xffff0000],
    ['shl.b32 %r1, 1, 32;', 0],
    ['shr.u32 %r1, 0x80000000, 31;', 1],
    ['shr.s32 %r1, 0x80000000, 40;', 0xffffffff],
    ['shf.l.wrap.b32 %r1, 0x12345678, 0x9abcdef0, 36;', 0xabcdef01],
    ['shf.r.wrap.b32 %r1, 0x12345678, 0x9abcdef0, 4;', 0x01234567],
    ['popc.b32 %r1, 0xf0f0;', 8],
    ['clz.b32 %r1, 0x00010000;', 15],
    ['clz.b64 %r1, 0x100000000;', 31],
    ['brev.b32 %r1, 0x00000003;', 0xc0000000],
    ['bfe.u32 %r1, 0x12345678, 8, 12;', 0x456],
    ['bfe.s32 %r1, 0x00000f00, 8, 4;', 0xffffffff],
    ['bfi.b32 %r1, 0xff, 0x12345678, 8, 4;', 0x12345f78],
    ['prmt.b32 %r1, 0x33221100, 0x77665584, 0x7c41;', 0x77ff8411],
    ['lop3.b32 %r1, 0xf0f0f0f0, 0xcccccccc, 0xaaaaaaaa, 0x96;', 0x96969696],
    ['mov.b32 {%h1, %h2}, 0x12345678; mov.b32 %r1, {%h2, %h1};', 0x56781234],
    ['mov.u16 %h1, 0x8001; cvt.s32.s16 %r1, %h1;', 0xffff8001],
    ['cvt.s32.s8 %r1, 0x180;', 0xffffff80],
    ['cvt.u32.u8 %r1, 0x180;', 0x80],
    [high('cvt.s64.s32 %d3, -1;'), 0xffffffff],
    [high('cvt.u64.u32 %d3, -1;'), 0],
    ['cvt.rzi.s32.f32 %r1, 0fC0200000;', 0xfffffffe], // -2.5
    ['cvt.rni.s32.f32 %r1, 0f40200000;', 2], // 2.5, to even
    ['cvt.rmi.s32.f32 %r1, 0fC0200000;', 0xfffffffd],
    ['cvt.rpi.s32.f32 %r1, 0f40200000;', 3],
    ['cvt.rzi.s32.f32 %r1, 0f7F800000;', 0x7fffffff],
    ['cvt.rzi.u32.f32 %r1, 0fBF800000;', 0],
    ['cvt.rzi.s32.f32 %r1, 0f7FC00000;', 0],
    [real('cvt.rn.f32.s32 %f1, 16777217;'), bits(16777216)],
    [real('cvt.rn.f32.u32 %f1, 0xffffffff;'), bits(4294967296)],
    ['cvt.rn.bf16x2.f32 %r1, 0f3F800000, 0f40000000;', 0x3f804000], // the first is the upper half
    ['cvt.rn.bf16x2.f32 %r1, 0f3F808000, 0f3F818000;', 0x3f803f82], // ties to even
    [real('fma.rn.f32 %f1, 0f3F800001, 0f3F800001, 0fBF800002;'), bits(2 ** -46)],
    [real('mul.rn.f32 %f2, 0f3F800001, 0f3F800001; sub.rn.f32 %f1, %f2, 0f3F800002;'), 0],
    [real(`add.rz.f32 %f1, ${float(1)}, ${float(2 ** -24 * 1.5)};`), bits(1)],
    [real(`add.rp.f32 %f1, ${float(1)}, ${float(2 ** -40)};`), bits(1 + 2 ** -23)],
    [real(`mul.rm.f32 %f1, 0fBF800001, 0f3F800001;`), bits(-(1 + 3 * 2 ** -23))],
    [real(`fma.rm.f32 %f1, ${float(1)}, ${float(1)}, ${float(-(2 ** -40))};`), bits(1 - 2 ** -24)],
    [real('div.rn.f32 %f1, 0f3F800000, 0f40400000;'), bits(1 / 3)],
    [real('sqrt.rn.f32 %f1, 0f40000000;'), bits(Math.SQRT2)],
    [real('rcp.rn.f32 %f1, 0f40400000;'), bits(1 / 3)],
    [real('ex2.approx.ftz.f32 %f1, 0fC3020000;'), 0], // 2^-130, a subnormal
    [real('ex2.approx.f32 %f1, 0fC3020000;'), 0x00080000],
    [real('max.f32 %f1, 0f7FC00000, 0f3F800000;'), bits(1)],
    [real('min.f32 %f1, 0f00000000, 0f80000000;'), 0x80000000],
    [real('copysign.f32 %f1, 0f80000000, 0f3F800000;'), bits(-1)],
    [flag('setp.lt.s32 %p1, -1, 1;'), 1],
    [flag('setp.lt.u32 %p1, -1, 1;'), 0],
    [flag('setp.ne.f32 %p1, 0f7FC00000, 0f3F800000;'), 0],
    [flag('setp.neu.f32 %p1, 0f7FC00000, 0f3F800000;'), 1],
    [flag('setp.ltu.f32 %p1, 0f40000000, 0f3F800000;'), 0],
    [flag('setp.geu.f32 %p1, 0f40000000, 0f3F800000;'), 1],
    [flag('setp.nan.f32 %p1, 0f40000000, 0f7FC00000;'), 1],
    [flag('setp.eq.u32 %p2, 0, 0; setp.lt.and.s32 %p3|%p1, 3, 2, %p2;'), 1],
    [flag('setp.eq.u32 %p2, 0, 1; setp.lt.and.s32 %p3|%p1, 3, 2, %p2;'), 0],
  ]
  const results = run(cases.map(([code]) => code), { threads: 1 })
  cases.forEach(([code, expected], i) => {
    t.is(results[i]!.error, '', code)
    t.is(results[i]!.results[0], expected, code)
  })
})

test('memory: widths, signs, vectors, spaces, constants', (t) => {
  const variables = '.const .align 4 .b8 table[8] = {1, 2, 3, 4, 5, 6, 7, 8};'
  const cases: [string, number][] = [
    ['ld.global.u8 %r1, [%d1+3];', 0x80],
    ['ld.global.s8 %r1, [%d1+3];', 0xffffff80],
    ['ld.global.nc.s16 %r1, [%d1+2];', 0xffff8070],
    ['ld.global.v2.u32 {%r2, %r1}, [%d1];', 0x11223344],
    ['add.s64 %d3, %d1, 8; ld.global.u32 %r1, [%d3+-4];', 0x11223344],
    ['ld.const.u32 %r1, [table+4];', 0x08070605],
    ['mov.u64 %d3, table; cvta.const.u64 %d4, %d3; ld.u16 %r1, [%d4+2];', 0x0403],
    ['st.shared.u16 [8], 0x1234; ld.shared.u8 %r1, [9];', 0x12],
    ['ld.shared.u32 %r1, [16];', 0xffffffff], // what nobody wrote is NaN
    ['mov.u64 %d3, 64; cvta.shared.u64 %d4, %d3; st.u32 [%d4], 77; ld.shared.u32 %r1, [64];', 77],
    ['.local .align 4 .b8 own[8]; mov.u64 %d3, own; st.local.u32 [%d3+4], 78; ld.local.u32 %r1, [own+4];', 78],
    ['st.shared.u32 [0], 5; atom.shared.add.u32 %r2, [0], 3; ld.shared.u32 %r1, [0];', 8],
    ['st.shared.u32 [0], 5; atom.shared.max.s32 %r1, [0], -3;', 5],
    ['st.shared.u32 [0], 5; atom.shared.cas.b32 %r2, [0], 5, 9; ld.shared.u32 %r1, [0];', 9],
    ['st.shared.u32 [0], 5; red.shared.exch.b32 [0], 6; ld.shared.u32 %r1, [0];', 6],
  ]
  const words = [0x80706050, 0x11223344]
  const results = run(cases.map(([code]) => code), { threads: 1, words, variables })
  cases.forEach(([code, expected], i) => {
    t.is(results[i]!.error, '', code)
    t.is(results[i]!.results[0], expected, code)
  })
})

test('an asynchronous copy arrives when it is waited for, and zeros fill what is not read', (t) => {
  const copy = 'mov.u32 %r2, 0; cp.async.cg.shared.global [%r2], [%d1], 16, 8; cp.async.commit_group;'
  const [early, first, last] = run(
    [
      `${copy} ld.shared.u32 %r1, [0]; cp.async.wait_group 0;`,
      `${copy} cp.async.wait_group 0; ld.shared.u32 %r1, [4];`,
      `st.shared.u32 [12], 9; ${copy} cp.async.wait_all; ld.shared.u32 %r1, [12];`,
    ],
    { threads: 1, words: [1, 2, 3, 4] },
  )
  t.is(early!.results[0], 0xffffffff)
  t.is(first!.results[0], 2)
  t.is(last!.results[0], 0)
})

test('lanes exchange values as the PTX ISA says, in segments too', (t) => {
  const lanes = Array.from({ length: 32 }, (_, lane) => lane)
  const cases: [string, (lane: number) => number][] = [
    ['shfl.sync.bfly.b32 %r1|%p1, %r0, 5, 31, -1;', (lane) => lane ^ 5],
    ['shfl.sync.down.b32 %r1, %r0, 3, 31, -1;', (lane) => (lane + 3 < 32 ? lane + 3 : lane)],
    ['shfl.sync.up.b32 %r1, %r0, 3, 0, -1;', (lane) => (lane >= 3 ? lane - 3 : lane)],
    ['shfl.sync.idx.b32 %r1, %r0, 7, 31, -1;', () => 7],
    ['shfl.sync.idx.b32 %r1, %r0, 1, 0x181f, -1;', (lane) => (lane & 24) + 1], // segments of 8
    ['shfl.sync.down.b32 %r2|%p1, %r0, 3, 31, -1; selp.u32 %r1, 1, 0, %p1;', (lane) => Number(lane + 3 < 32)],
    ['setp.lt.u32 %p1, %r0, 3; vote.sync.ballot.b32 %r1, %p1, -1;', () => 7],
    ['setp.lt.u32 %p1, %r0, 3; vote.sync.any.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;', () => 1],
    ['setp.lt.u32 %p1, %r0, 3; vote.sync.all.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;', () => 0],
    ['setp.lt.u32 %p1, %r0, 3; vote.sync.uni.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;', () => 0],
  ]
  const results = run(cases.map(([code]) => code))
  cases.forEach(([code, expected], i) => {
    t.is(results[i]!.error, '', code)
    t.deepEqual(results[i]!.results, lanes.map(expected), code)
  })
})

test('lanes part at branches, meet again, and end at different times', (t) => {
  // A lane goes round as often as its number says, and all exchange afterwards.
  const loop = `mov.u32 %r1, 0; mov.u32 %r2, 0;
    $L_more: setp.ge.u32 %p1, %r2, %r0; @%p1 bra $L_done;
    add.s32 %r1, %r1, 2; add.s32 %r2, %r2, 1; bra.uni $L_more;
    $L_done: shfl.sync.bfly.b32 %r1, %r1, 1, 31, -1;`
  const halves = `setp.lt.u32 %p1, %r0, 16; @%p1 bra $L_low;
    shfl.sync.idx.b32 %r1, %r0, 16, 31, 0xffff0000; bra $L_both;
    $L_low: shfl.sync.idx.b32 %r1, %r0, 3, 31, 0xffff;
    $L_both: bar.warp.sync -1;`
  const early = `setp.gt.u32 %p1, %r0, 7; @%p1 ret; bar.warp.sync 255; mov.u32 %r1, 5;`
  const table = `rem.u32 %r2, %r0, 3; brx.idx %r2, $L_table;
    $L_a: mov.u32 %r1, 10; bra $L_end;
    $L_b: mov.u32 %r1, 11; bra $L_end;
    $L_c: mov.u32 %r1, 12;
    $L_end: bar.warp.sync -1;`.replace('brx.idx', '$L_table: .branchtargets $L_a, $L_b, $L_c;\n brx.idx')
  const results = run([loop, halves, early, table])
  t.deepEqual(results.map((one) => one.error), ['', '', '', ''])
  const lanes = Array.from({ length: 32 }, (_, lane) => lane)
  t.deepEqual(results[0]!.results, lanes.map((lane) => 2 * (lane ^ 1)))
  t.deepEqual(results[1]!.results, lanes.map((lane) => (lane < 16 ? 3 : 16)))
  t.deepEqual(results[2]!.results, lanes.map((lane) => (lane < 8 ? 5 : 0)))
  t.deepEqual(results[3]!.results, lanes.map((lane) => 10 + (lane % 3)))
})

test('warps wait for each other at a barrier', (t) => {
  const code = `shl.b32 %r2, %r0, 2; st.shared.u32 [%r2], %r0; BARRIER
    xor.b32 %r3, %r2, 128; ld.shared.u32 %r1, [%r3];`
  const [with_, without] = run([code.replace('BARRIER', 'bar.sync 0;'), code.replace('BARRIER', '')], { threads: 64 })
  const threads = Array.from({ length: 64 }, (_, thread) => thread)
  t.deepEqual(with_!.results, threads.map((thread) => thread ^ 32))
  t.notDeepEqual(without!.results, with_!.results)
})

test('what is wrong or unknown is named, with the line', (t) => {
  const cases: [string, RegExp][] = [
    ['add.f32 %f1, %f1, %f1;', /opcode add\.f32 is not known \(line \d+ of snippet0: add\.f32 /],
    ['wgmma.fence.sync.aligned;', /opcode wgmma\.fence\.sync\.aligned is not known/],
    ['add.s32 %r1, %d1, 1;', /these operands of opcode add\.s32/],
    ['bar.sync 1, 32;', /these operands of opcode bar\.sync are not known/],
    ['mov.u32 %r1, %clock;', /special register %clock/],
    ['ld.global.u32 %r1, [%d1+4];', /thread 0 touches memory of no buffer/],
    ['ld.global.u32 %r1, [%d1+2];', /no multiple of 4 .*ld\.global\.u32/],
    ['st.global.u32 [%d1], 1;', /writes to 'words', which may only be read/],
    ['ld.shared.u32 %r1, [1024];', /touches 4 bytes at 1024 of 1024/],
    ['setp.lt.u32 %p1, %r0, 9; @%p1 bra $L_x; bar.warp.sync -1; $L_x: mov.u32 %r1, 1;', /never arrive, lane 0/],
    ['setp.lt.u32 %p1, %r0, 9; @%p1 bar.sync 0;', /waits for 23 lanes/],
    ['setp.lt.u32 %p1, %r0, 9; @%p1 shfl.sync.idx.b32 %r1, %r0, 10, 31, 0x1ff;', /lane 10, which does not take/],
    ['trap;', /stops the kernel/],
    ['call.uni (%r1), elsewhere, (%r0);', /calls a function that nvcc did not inline/],
  ]
  const results = run(cases.map(([code]) => code), { words: [1] })
  cases.forEach(([code, message], i) => t.regex(results[i]!.error, message, code))
})
