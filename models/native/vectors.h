// Vectors of floats, as wide as the processor's, and the inner loop of every matrix product.
#pragma once

#include <cstring>
#include <new>

#if defined(__AVX__)
constexpr int LANES = 8, TILE_ROWS = 6, ROW_VECTORS = 3;
#else
constexpr int LANES = 4, TILE_ROWS = 6, ROW_VECTORS = 4;
#endif
// GCC would load the weights again for each row.
#if defined(__AVX__)
#define KEEP_IN_REGISTER(vector) asm("" : "+x"(vector))
#else
#define KEEP_IN_REGISTER(vector)
#endif

// Weights are stored in panels of this many outputs, one after the other.
constexpr int PANEL = 16, VECTORS = PANEL / LANES;
// TILE_ROWS x VECTORS sums of a product, or 3 x ROW_VECTORS of the last layer, stay in registers.

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

inline Vector load(const float* at) {
    Vector value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

inline void store(float* at, Vector value) { std::memcpy(at, &value, sizeof value); }

inline Vector splat(float value) { return value - Vector{}; }

// An array of floats, zero at first, that starts at a cache line: a load across two lines takes twice as long.
class Buffer {
  public:
    explicit Buffer(long size) : data_(new (LINE) float[size]()) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { operator delete[](data_, LINE); }

    float* data() { return data_; }

  private:
    static constexpr std::align_val_t LINE{64};
    float* data_;
};

// Sums and sums of squares of each channel, of one thread: double, with a float vector for each short run.
struct Moments {
    double* sum;
    double* square;

    inline void add(int channel, Vector total, Vector squares) const {
        for (int lane = 0; lane < LANES; ++lane) {
            sum[channel + lane] += total[lane];
            square[channel + lane] += squares[lane];
        }
    }
};

// target = a * b: ROWS rows, each made of `runs` runs of `depth` floats, and a panel of runs * depth rows.
// Not inlined: within a large function, GCC spills registers in the inner loop.
template <int ROWS>
__attribute__((noinline)) void multiply(const float* const* a, int runs, long step, const float* b, int depth,
                                        float* target, long target_step) {
    Vector sums[ROWS][VECTORS] = {};
    for (int run = 0; run < runs; ++run, b += long(depth) * PANEL) {
        const float* left = a[run];
        for (int k = 0; k < depth; ++k) {
            Vector right[VECTORS];
            for (int n = 0; n < VECTORS; ++n) {
                right[n] = load(b + k * PANEL + n * LANES);
                KEEP_IN_REGISTER(right[n]);
            }
            for (int m = 0; m < ROWS; ++m) {
                const Vector value = splat(left[m * step + k]);
                for (int n = 0; n < VECTORS; ++n) sums[m][n] += value * right[n];
            }
        }
    }
    for (int m = 0; m < ROWS; ++m)
        for (int n = 0; n < VECTORS; ++n) store(target + m * target_step + n * LANES, sums[m][n]);
}

// Call `work.template operator()<ROWS>(first)` for blocks of TILE_ROWS rows, and at the end for what is left.
template <int ROWS, class Work>
inline void last_rows(int first, int rows, Work&& work) {
    if constexpr (ROWS > 0) {
        if (rows == ROWS)
            work.template operator()<ROWS>(first);
        else
            last_rows<ROWS - 1>(first, rows, work);
    }
}

template <class Work>
inline void in_blocks(int count, Work&& work) {
    int first = 0;
    for (; first + TILE_ROWS <= count; first += TILE_ROWS) work.template operator()<TILE_ROWS>(first);
    last_rows<TILE_ROWS - 1>(first, count - first, work);
}
