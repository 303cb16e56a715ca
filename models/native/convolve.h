// Convolutions as they are defined: the first layer, and those that halve the size.
#pragma once

#include "rows.h"

struct Output {
    float* features;  // (height, width, channels)
    int height, width, channels;
};

constexpr int MAX_KERNEL = 15;

// Rows first to last of a convolution with mirrored border; weights (panels, kernel, kernel, inputs, PANEL).
template <class Source>
void convolve(const Source& source, const float* weights, int kernel, int stride, Output out, int first, int last,
              Moments moments) {
    const int margin = kernel / 2, depth = kernel * source.channels;
    const long step = stride * source.channels;
    Window<Source> window(source, margin, kernel + stride, first * stride);
    for (int y = first; y < last; ++y) {
        window.advance(y * stride + margin + 1);
        float* row = out.features + long(y) * out.width * out.channels;
        for (int channel = 0; channel < out.channels; channel += PANEL) {
            const float* panel = weights + long(channel) * kernel * depth;
            Vector total[VECTORS] = {}, squares[VECTORS] = {};
            in_blocks(out.width, [&]<int ROWS>(int x) {
                const float* runs[MAX_KERNEL];
                for (int k = 0; k < kernel; ++k) runs[k] = window.row(y * stride - margin + k) + x * step;
                float* pixels = row + long(x) * out.channels + channel;
                multiply<ROWS>(runs, kernel, step, panel, depth, pixels, out.channels);
                for (int m = 0; m < ROWS; ++m)
                    for (int n = 0; n < VECTORS; ++n) {
                        const Vector sums = load(pixels + long(m) * out.channels + n * LANES);
                        total[n] += sums;
                        squares[n] += sums * sums;
                    }
            });
            for (int n = 0; n < VECTORS; ++n) moments.add(channel + n * LANES, total[n], squares[n]);
        }
    }
}
