/** The list of adapter kinds. Adding one is a file here and one line below. */
import { lora } from './lora'

export const adapterKinds = [lora] as const
