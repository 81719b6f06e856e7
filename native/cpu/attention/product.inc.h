// The one product that all of attention is made of: C[M, N] = A[M, K] B[K, N] on packed units (tiles.h), summed in f32.
// A is row-major, B too, with one row per unit of the sum; N is a multiple of kLanes. Included like vector.inc.h; what
// follows it defines multiply(const Product&).

enum class Update {
  set,    // C = A B
  add,    // C += A B
  scale,  // C = C * factor + A B, factor[N]
};

struct Product {
  int64_t m, n, k;
  const Unit* a;
  int64_t lda;
  const Unit* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  Update update;
  const float* factor;
};
