/** The list of optimizer kinds. Adding one is a file here and one line below. */
import { adamw } from './adamw'

export const optimizerKinds = [adamw] as const
