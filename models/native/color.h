// The last layer: three colors from many channels, and the frame blended with them.
#pragma once

#include <cmath>

#include "rows.h"

constexpr int COLORS = 3, BLOCK_PX = ROW_VECTORS * LANES;

constexpr int whole_blocks(int width) { return (width + BLOCK_PX - 1) / BLOCK_PX * BLOCK_PX; }

// A window of rows as planes, one for each group of channels: the last layer computes many pixels of few channels.
template <class Source>
class PlaneWindow {
  public:
    PlaneWindow(const Source& source, int margin, int rows, int first)
        : source_(source), margin_(margin), rows_(rows), groups_(source.channels / DOT), next_(first - margin),
          step_(whole_blocks(source.width) + 2 * margin), interleaved_(long(source.width) * source.channels),
          buffer_(long(rows) * groups_ * step_ * DOT) {}

    void advance(int last) {
        const int width = source_.width;
        for (; next_ < last; ++next_) {
            source_.fill(mirror(next_, source_.height), interleaved_.data());
            for (int first = 0; first < width; first += LANES) {
                const int pixels = std::min(LANES, width - first);
                for (int group = 0; group < groups_; ++group) {
                    Operand* plane = start(next_, group) + (margin_ + first) * DOT;
                    const Operand* from = interleaved_.data() + long(first) * source_.channels + group * DOT;
                    for (int x = 0; x < pixels; ++x) copy(plane + x * DOT, from + long(x) * source_.channels);
                }
            }
            for (int group = 0; group < groups_; ++group) pad(start(next_, group) + margin_ * DOT);
        }
    }

    const Operand* row(int y, int group) const { return const_cast<PlaneWindow*>(this)->start(y, group); }

  private:
    static void copy(Operand* to, const Operand* from) { std::memcpy(to, from, DOT * sizeof(Operand)); }

    Operand* start(int y, int group) { return buffer_.data() + ((y + rows_) % rows_ * groups_ + group) * step_ * DOT; }

    void pad(Operand* plane) const {
        const int width = source_.width;
        for (int x = 1; x <= margin_; ++x) {
            copy(plane - x * DOT, plane + mirror(-x, width) * DOT);
            copy(plane + (width - 1 + x) * DOT, plane + mirror(width - 1 + x, width) * DOT);
        }
    }

    const Source source_;
    int margin_, rows_, groups_, next_;
    long step_;
    Buffer<Operand> interleaved_, buffer_;
};

// Write row `y` of the convolution into three planes, `step` apart; weights (kernel, groups, kernel, 3, DOT).
template <int KERNEL, class Source>
void color_row(const PlaneWindow<Source>& window, int channels, int width, const Operand* weights, const float* bias,
               int any_kernel, int y, float* planes, long step) {
    const int kernel = KERNEL ? KERNEL : any_kernel;  // known to the compiler, which then unrolls
    for (int x = 0; x < width; x += BLOCK_PX) {
        Vector sums[COLORS][ROW_VECTORS];
        for (int color = 0; color < COLORS; ++color)
            for (int n = 0; n < ROW_VECTORS; ++n) sums[color][n] = splat(bias[color]);
        const Operand* weight = weights;
        for (int i = 0; i < kernel; ++i)
            for (int group = 0; group < channels / DOT; ++group) {
                const Operand* row = window.row(y - kernel / 2 + i, group) + x * DOT;
                for (int j = 0; j < kernel; ++j, weight += COLORS * DOT)
                    for (int n = 0; n < ROW_VECTORS; ++n) {
                        Operands pixels = load_operands(row + (j + n * LANES) * DOT);
                        KEEP_IN_REGISTER(pixels);
                        for (int color = 0; color < COLORS; ++color)
                            sums[color][n] = dot(sums[color][n], pixels, splat_operands(weight + color * DOT));
                    }
            }
        for (int color = 0; color < COLORS; ++color)
            for (int n = 0; n < ROW_VECTORS; ++n) store(planes + color * step + x + n * LANES, sums[color][n]);
    }
}

// 1 / (1 + exp(-x)) to 1e-7: exp by a polynomial on [-ln 2 / 2, ln 2 / 2] and the exponent's bits (Cephes expf).
inline float sigmoid(float x) {
    const float y = std::min(std::max(-x, -87.f), 87.f), n = std::rint(y * 1.44269504f);
    const float r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const int32_t bits = (int32_t(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return 1.f / (1.f + (p * r * r + r + 1.f) * power);
}

inline float unit(float value) { return std::min(std::max(value, 0.f), 1.f); }

// How a frame is blended; see models/frame_graph.py, whose composite, black_mask and contrast_gain these are.
struct Blend {
    PixelType type;
    const void* frame;
    void* result;
    int height, width;
    float amount, keep_colors;
    const float* light;  // mask in [0, 1] of each block, (rows, columns)
    int rows, columns;
};

struct Neighbors {
    int first, second;
    float share;  // of the second
};

// Positions and shares of a linear interpolation to `size` from `count` values, as torch's with align_corners=False.
inline Neighbors neighbors(int index, int size, int count) {
    const float at = std::max((index + 0.5f) * (float(count) / size) - 0.5f, 0.f);
    const int first = std::min(int(at), count - 1);
    return {first, std::min(first + 1, count - 1), at - first};
}

// Blend a row of the stylized frame, three planes in [0, 1], `step` apart, into the result.
template <class Level>
void blend_row(const Blend& blend, int y, const float* stylized, long step, float* scratch) {
    const int width = blend.width;
    const float scale = max_level(blend.type);
    const Level* frame = static_cast<const Level*>(blend.frame) + long(y) * width * COLORS;
    Level* result = static_cast<Level*>(blend.result) + long(y) * width * COLORS;
    const Neighbors down = neighbors(y, blend.height, blend.rows);
    const float *above = blend.light + long(down.first) * blend.columns, *below = blend.light + long(down.second) * blend.columns;
    for (int x = 0; x < width; ++x) {
        const Neighbors across = neighbors(x, width, blend.columns);
        const float upper = above[across.first] + across.share * (above[across.second] - above[across.first]);
        const float lower = below[across.first] + across.share * (below[across.second] - below[across.first]);
        scratch[x] = blend.amount * (upper + down.share * (lower - upper));
    }
    const float keep = blend.keep_colors;
    for (int x = 0; x < width; ++x) {
        const float plain[COLORS] = {frame[3 * x] / scale, frame[3 * x + 1] / scale, frame[3 * x + 2] / scale};
        const float full[COLORS] = {stylized[x], stylized[step + x], stylized[2 * step + x]};
        const float luma = 0.2126f * (full[0] - plain[0]) + 0.7152f * (full[1] - plain[1]) + 0.0722f * (full[2] - plain[2]);
        for (int c = 0; c < COLORS; ++c) {
            const float toned = full[c] + keep * (unit(plain[c] + luma) - full[c]);
            result[3 * x + c] = Level(std::rint((plain[c] + scratch[x] * (toned - plain[c])) * scale));
        }
    }
}

// Mean over each block of the brightest channel, in [0, 1], into `light` (rows, columns); blocks may overlap by a pixel.
template <class Level>
void block_light(const Level* frame, int height, int width, float scale, float* light, int rows, int columns) {
    const auto start = [](int i, int size, int count) { return int(long(i) * size / count); };
    const auto end = [](int i, int size, int count) { return int((long(i + 1) * size + count - 1) / count); };
    std::vector<float> brightest(width), sums(columns);
    for (int r = 0; r < rows; ++r) {
        std::fill(sums.begin(), sums.end(), 0.f);
        const int top = start(r, height, rows), bottom = end(r, height, rows);
        for (int y = top; y < bottom; ++y) {
            const Level* row = frame + long(y) * width * COLORS;
            for (int x = 0; x < width; ++x) brightest[x] = std::max(row[3 * x], std::max(row[3 * x + 1], row[3 * x + 2]));
            for (int c = 0; c < columns; ++c)
                for (int x = start(c, width, columns); x < end(c, width, columns); ++x) sums[c] += brightest[x];
        }
        for (int c = 0; c < columns; ++c)
            light[long(r) * columns + c] =
                sums[c] / (scale * (bottom - top) * (end(c, width, columns) - start(c, width, columns)));
    }
}

// Mean and variance of the pixels in [0, 1], averaged over the channels.
template <class Level>
void frame_moments(const Level* frame, long pixels, double scale, float* mean, float* variance) {
    double sums[COLORS] = {}, squares[COLORS] = {};
    constexpr long RUN = 32768;
    for (long first = 0; first < pixels; first += RUN)
        for (int c = 0; c < COLORS; ++c) {
            uint64_t sum = 0, square = 0;
            for (long i = first; i < std::min(first + RUN, pixels); ++i) {
                const uint64_t level = frame[3 * i + c];
                sum += level;
                square += level * level;
            }
            sums[c] += double(sum);
            squares[c] += double(square);
        }
    double all_means = 0, all_variances = 0;
    for (int c = 0; c < COLORS; ++c) {
        const double average = sums[c] / scale / pixels;
        all_means += average;
        all_variances += std::max(squares[c] / scale / scale / pixels - average * average, 0.0);
    }
    *mean = float(all_means / COLORS);
    *variance = float(all_variances / COLORS);
}
