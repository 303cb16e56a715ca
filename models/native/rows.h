// The rows that a layer reads: normalized and padded when they are needed, never stored as a whole.
#pragma once

#include <algorithm>
#include <vector>

#include "vectors.h"

inline int mirror(int index, int size) {
    if (index < 0) index = -index;
    if (index >= size) index = 2 * size - 2 - index;
    return std::clamp(index, 0, size - 1);
}

enum PixelType { UINT8, UINT16, FLOAT };  // FLOAT: three planes in [0, 1]

inline float max_level(PixelType type) { return type == UINT8 ? 255.f : 65535.f; }

// A frame, seen as one of `padded_height` x `padded_width` that repeats its last row and column.
struct PixelRows {
    static constexpr bool MIRRORS = true;
    PixelType type;
    const void* pixels;
    int frame_height, frame_width, height, width;
    int channels = 3;

    template <class Level, class Number>
    void convert(const Level* row, Number* target) const {
        const float scale = WHITE / max_level(type);
        for (int i = 0; i < 3 * frame_width; ++i) set(target + i, row[i] * scale);
    }

    template <class Number>
    void fill(int y, Number* target) const {
        const long row = std::min(y, frame_height - 1);
        if (type == UINT8) convert(static_cast<const uint8_t*>(pixels) + row * frame_width * 3, target);
        if (type == UINT16) convert(static_cast<const uint16_t*>(pixels) + row * frame_width * 3, target);
        if (type == FLOAT)
            for (int c = 0; c < 3; ++c) {
                const float* plane = static_cast<const float*>(pixels) + (c * long(frame_height) + row) * frame_width;
                for (int x = 0; x < frame_width; ++x) set(target + 3 * x + c, plane[x] * WHITE);
            }
        for (int i = 3 * frame_width; i < 3 * width; ++i) target[i] = target[i - 3];
    }
};

// The output of a layer (height, width, channels), normalized: times gain plus offset, then a ReLU or a sum.
template <bool MIRRORS_BORDER>
struct FeatureRows {
    static constexpr bool MIRRORS = MIRRORS_BORDER;
    const Feature* features;
    const float* gain;
    const float* offset;
    int height, width, channels;
    const Feature* add = nullptr;  // the input of the residual block; nullptr: a ReLU instead
    Feature* keep = nullptr;       // receives the rows first_kept to last_kept (exclusive)
    int first_kept = 0, last_kept = 0;

    template <class Number>
    void fill(int y, Number* target) const {
        const long start = long(y) * width * channels;
        Feature* kept = keep && y >= first_kept && y < last_kept ? keep + start : nullptr;
        for (int c = 0; c < channels; c += LANES) {
            const Vector scale = load(gain + c), shift = load(offset + c);
            for (long i = c; i < long(width) * channels; i += channels) {
                Vector value = load(features + start + i) * scale + shift;
                if (add)
                    value += load(add + start + i);
                else
                    value = value > 0.f ? value : Vector{};
                store(target + i, value);
                if (kept) store(kept + i, value);
            }
        }
    }
};

// A window of some rows around the one that is computed, with `margin` more pixels at each side.
template <class Source, class Number>
class Window {
  public:
    Window(const Source& source, int margin, int rows, int first, int spare = 0)
        : source_(source), margin_(margin), rows_(rows), next_(first - margin),
          step_(long(source.width + 2 * margin + spare) * source.channels), spare_(spare), buffer_(rows * step_) {}

    // Make rows up to `last`, exclusive, available; they replace those that are `rows` earlier.
    void advance(int last) {
        for (; next_ < last; ++next_) {
            Number* row = start(next_) + margin_ * source_.channels;
            const int y = Source::MIRRORS ? mirror(next_, source_.height) : std::clamp(next_, 0, source_.height - 1);
            source_.fill(y, row);
            pad(row);
        }
    }

    // Return row `y` from `margin` pixels before its first one.
    const Number* row(int y) const { return const_cast<Window*>(this)->start(y); }

  private:
    Number* start(int y) { return buffer_.data() + (y + rows_) % rows_ * step_; }

    void pad(Number* row) const {
        const int width = source_.width, channels = source_.channels;
        const auto copy = [&](int to, int from) {
            std::copy_n(row + from * channels, channels, row + to * channels);
        };
        for (int x = 1; x <= margin_; ++x) copy(-x, Source::MIRRORS ? mirror(-x, width) : 0);
        for (int x = 0; x < margin_ + spare_; ++x) copy(width + x, Source::MIRRORS ? mirror(width + x, width) : width - 1);
    }

    const Source source_;
    int margin_, rows_, next_;
    long step_;
    int spare_;
    Buffer<Number> buffer_;
};
