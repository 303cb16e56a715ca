// How numbers are stored and multiplied: as float32, or as bfloat16 and added in float32 (FLOWBRUSH_BF16).
#pragma once

#include <cstdint>
#include <cstring>
#include <new>

#if defined(FLOWBRUSH_BF16)
#if !defined(__AVX512BF16__)
#error "bfloat16 needs AVX512-BF16"
#endif
#include <immintrin.h>

struct Bf16 {
    uint16_t bits;
};

using Feature = Bf16;  // what layers store
using Operand = Bf16;  // what is multiplied
constexpr int DOT = 2;  // products that an instruction adds to each sum
constexpr float WHITE = 255;  // pixels are multiplied as levels, which have 8 bits: the first weights are divided by it
constexpr int LANES = 16, MOST_SUMS = 20, MOST_PANELS = 4, ROW_VECTORS = 5;
#else
using Feature = float;
using Operand = float;
constexpr int DOT = 1;
constexpr float WHITE = 1;
// Zen 4 computes vectors of 16 in two steps.
#if defined(__AVX512F__) && !defined(__znver4__)
constexpr int LANES = 16, MOST_SUMS = 20, MOST_PANELS = 4, ROW_VECTORS = 5;
#elif defined(__AVX__)
constexpr int LANES = 8, MOST_SUMS = 12, MOST_PANELS = 1, ROW_VECTORS = 3;
#else
constexpr int LANES = 4, MOST_SUMS = 12, MOST_PANELS = 1, ROW_VECTORS = 4;
#endif
#endif

// GCC would load the weights again for each row.
#if defined(__AVX512F__)
#define KEEP_IN_REGISTER(vector) asm("" : "+v"(vector))
#elif defined(__AVX__)
#define KEEP_IN_REGISTER(vector) asm("" : "+x"(vector))
#else
#define KEEP_IN_REGISTER(vector)
#endif
