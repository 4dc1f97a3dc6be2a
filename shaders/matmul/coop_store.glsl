// Fragments of the sums (coopmat of SUM, TM x TN) on their way to memory; with ELEMENTS straight from the matrices. Expects
// kSubgroups, and store_sum(row of W in the tile, row of x in it, v).
#ifdef ELEMENTS
SUM store_element(const in uint r, const in uint c, const in SUM v, const in uint m, const in uint n) {
  store_sum(m + r, n + c, float(v));
  return v;
}
#else
shared SUM result[kSubgroups * TM * TN];
#endif

// m and n: where the fragment begins in the tile. The same number of calls in every subgroup.
void store_fragment(coopmat<SUM, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum, uint m, uint n) {
#ifdef ELEMENTS
  coopMatPerElementNV(sum, sum, store_element, m, n);
#else
  // [row of x][row of W], so that neighbouring lanes store neighbours.
  coopMatStore(sum, result, gl_SubgroupID * TM * TN, TM, gl_CooperativeMatrixLayoutColumnMajor);
  barrier();  // the fragment is written before its elements are read
  for (uint i = gl_SubgroupInvocationID; i < TM * TN; i += gl_SubgroupSize)
    store_sum(m + i % TM, n + i / TM, float(result[gl_SubgroupID * TM * TN + i]));
  barrier();  // and read before the next fragment overwrites them
#endif
}
