/**
 * The numbers that a byte stands for in dynamic tree quantisation, from the description of its bits (Dettmers, arXiv
 * 1511.04561; Dettmers et al., arXiv 2110.02861, section 1.3): a sign; zeros, whose number is the power of ten to divide
 * by; a one; the rest is a fraction, linear from 0.1 to 1, of which the middle of each part stands for the part. Without
 * a sign the fraction has a bit more. No one at all is zero, with the sign bit alone 1.
 */
export function dynamicMap(signed: boolean): number[] {
  const bits = 7
  const numbers = [0, 1]
  for (let pattern = 1; pattern < 2 ** bits; pattern++) {
    const fractionBits = Math.floor(Math.log2(pattern))
    const zeros = bits - 1 - fractionBits
    const fraction = pattern - 2 ** fractionBits
    const magnitude = (part: number, parts: number) => 10 ** -zeros * (0.1 + 0.9 * ((part + 0.5) / parts))
    if (signed) {
      const value = magnitude(fraction, 2 ** fractionBits)
      numbers.push(value, -value)
    } else {
      for (const last of [0, 1]) numbers.push(magnitude(2 * fraction + last, 2 ** (fractionBits + 1)))
    }
  }
  return numbers.sort((a, b) => a - b)
}
