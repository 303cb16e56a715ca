// Vectors of floats, as wide as the processor's, and the inner loop of every matrix product.
#pragma once

#include <algorithm>

#include "numbers.h"

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

inline Vector splat(float value) { return value - Vector{}; }

inline Vector load(const float* at) {
    Vector value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

inline void store(float* at, Vector value) { std::memcpy(at, &value, sizeof value); }

inline void set(float* at, float value) { *at = value; }

#if defined(FLOWBRUSH_BF16)
inline Vector load(const Bf16* at) {
    __m256i bits;
    std::memcpy(&bits, at, sizeof bits);
    return Vector(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline void store(Bf16* at, Vector value) {
    const __m256bh bits = _mm512_cvtneps_pbh(__m512(value));
    std::memcpy(at, &bits, sizeof bits);
}

inline void set(Bf16* at, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    at->bits = uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // to the nearest, ties to even
}
#endif

// LANES groups of DOT numbers that are multiplied: each sum is increased by the products of a group.
#if defined(FLOWBRUSH_BF16)
typedef __m512i Operands;

inline Operands splat_operands(const Bf16* at) {
    int32_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return _mm512_set1_epi32(pair);
}

inline Vector dot(Vector sums, Operands a, Operands b) {
    return Vector(_mm512_dpbf16_ps(__m512(sums), __m512bh(a), __m512bh(b)));
}
#else
typedef Vector Operands;

inline Operands splat_operands(const float* at) { return splat(*at); }

inline Vector dot(Vector sums, Operands a, Operands b) { return sums + a * b; }
#endif

inline Operands load_operands(const Operand* at) {
    Operands value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// Weights are stored in panels of this many outputs, one after the other.
constexpr int PANEL = 16, VECTORS = PANEL / LANES;

// Rows of a product whose sums stay in registers, with those of `panels` panels.
constexpr int tile_rows(int panels) { return MOST_SUMS / std::max(panels, 2); }

// An array of numbers, zero at first, that starts at a cache line: a load across two lines takes twice as long.
template <class Number>
class Buffer {
  public:
    explicit Buffer(long size) : data_(new (LINE) Number[size + SPARE]()) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { operator delete[](data_, LINE); }

    Number* data() { return data_; }

  private:
    static constexpr std::align_val_t LINE{64};
    static constexpr int SPARE = 64;  // what is read together with the last numbers, and multiplied by 0
    Number* data_;
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

// Where a product goes: rows are `step` apart, panels `panel_step`.
template <class Number>
struct Target {
    Number* at;
    long step, panel_step;
};

// target = a * b: ROWS rows, each made of `runs` runs of `depth` groups, and PANELS panels of runs * depth rows.
// STEP and DEPTH are those of the arguments if the compiler may know them, or 0.
// Not inlined: within a large function, GCC spills registers in the inner loop.
template <int ROWS, int PANELS, int STEP, int DEPTH, class Number>
__attribute__((noinline)) void multiply(const Operand* const* a, int runs, long any_step, const Operand* b,
                                        int any_depth, Target<Number> target) {
    const long step = STEP ? STEP : any_step;
    const int depth = DEPTH ? DEPTH : any_depth;
    const long panel_size = long(runs) * depth * PANEL * DOT;
    Vector sums[ROWS][PANELS * VECTORS] = {};
    for (int run = 0; run < runs; ++run, b += long(depth) * PANEL * DOT) {
        const Operand* left = a[run];
        for (int k = 0; k < depth; ++k) {
            Operands right[PANELS * VECTORS];
            for (int n = 0; n < PANELS * VECTORS; ++n) {
                right[n] = load_operands(b + n / VECTORS * panel_size + (k * PANEL + n % VECTORS * LANES) * DOT);
                KEEP_IN_REGISTER(right[n]);
            }
            for (int m = 0; m < ROWS; ++m) {
                Operands value = splat_operands(left + m * step + k * DOT);
                KEEP_IN_REGISTER(value);
                for (int n = 0; n < PANELS * VECTORS; ++n) sums[m][n] = dot(sums[m][n], value, right[n]);
            }
        }
    }
    for (int m = 0; m < ROWS; ++m)
        for (int n = 0; n < PANELS * VECTORS; ++n)
            store(target.at + m * target.step + n / VECTORS * target.panel_step + n % VECTORS * LANES, sums[m][n]);
}

// Call `work.template operator()<ROWS>(first)` for blocks of MOST rows, and at the end for what is left.
template <int ROWS, class Work>
inline void last_rows(int first, int rows, Work&& work) {
    if constexpr (ROWS > 0) {
        if (rows == ROWS)
            work.template operator()<ROWS>(first);
        else
            last_rows<ROWS - 1>(first, rows, work);
    }
}

template <int MOST, class Work>
inline void in_blocks(int count, Work&& work) {
    int first = 0;
    for (; first + MOST <= count; first += MOST) work.template operator()<MOST>(first);
    last_rows<MOST - 1>(first, count - first, work);
}

// Call `work.template operator()<PANELS>(first channel)` for groups of panels that are computed together.
template <int PANELS, class Work>
inline void in_panels(int channel, int channels, Work&& work) {
    for (; channel + PANELS * PANEL <= channels; channel += PANELS * PANEL) work.template operator()<PANELS>(channel);
    if constexpr (PANELS > 1) in_panels<PANELS / 2>(channel, channels, work);
}
