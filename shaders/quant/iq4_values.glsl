// The values of four 4-bit indices in the bytes of n: kIq4Values of quant/tables.h. A polynomial of degree 5 comes within
// 0.38 of each of the 16, so that rounding makes it exact; a table would be a chain of selects, or memory.
vec4 iq4_values(uint n) {
  const vec4 x = bytes4(n) - 7.5;
  return roundEven(fma(fma(fma(fma(fma(vec4(1.4479139e-4), x, vec4(1.0843577e-3)), x, vec4(6.9785265e-2)), x, vec4(-0.11349816)),
                           x, vec4(11.61645)), x, vec4(-4.417675)));
}
