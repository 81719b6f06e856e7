/** Values as Python's `str` and `repr` print them, which is how kohya's tools write metadata and read it back. */

/**
 * A number that Python holds as a float: `1e-05`, `2.0`. The digits are the shortest that give the number back, as
 * here.
 */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  const [mantissa, exponentText] = value.toExponential().split('e')
  const exponent = Number(exponentText)
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    const digits = String(Math.abs(exponent)).padStart(2, '0')
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${digits}`
  }
  // JavaScript switches to exponents outside [1e-6, 1e21), which lies outside the range left here.
  const text = Object.is(value, -0) ? '-0' : String(value)
  return text.includes('.') ? text : `${text}.0`
}

export function pythonBool(value: boolean): string {
  return value ? 'True' : 'False'
}
