// Convolutions as they are defined: the first layer, and those that halve the size.
#pragma once

#include "rows.h"

struct Output {
    Feature* features;  // (height, width, channels)
    int height, width, channels;
};

constexpr int MAX_KERNEL = 15;

// Rows first to last of a convolution with mirrored border; weights (panels, kernel, groups, PANEL, DOT), where groups
// are those of the kernel's row of pixels and channels, the last one filled up with zeros.
// STEP is stride * source.channels, if the compiler may know it, or 0.
template <int STEP, class Source>
void convolve(const Source& source, const Operand* weights, int kernel, int stride, Output out, int first, int last,
              Moments moments) {
    const int margin = kernel / 2, depth = (kernel * source.channels + DOT - 1) / DOT;
    const long step = stride * source.channels;
    Window<Source, Operand> window(source, margin, kernel + stride, first * stride);
    for (int y = first; y < last; ++y) {
        window.advance(y * stride + margin + 1);
        Feature* row = out.features + long(y) * out.width * out.channels;
        in_panels<MOST_PANELS>(0, out.channels, [&]<int PANELS>(int channel) {
            const Operand* panels = weights + long(channel) * kernel * depth * DOT;
            Vector total[PANELS * VECTORS] = {}, squares[PANELS * VECTORS] = {};
            in_blocks<tile_rows(PANELS)>(out.width, [&]<int ROWS>(int x) {
                const Operand* runs[MAX_KERNEL];
                for (int k = 0; k < kernel; ++k) runs[k] = window.row(y * stride - margin + k) + x * step;
                Feature* pixels = row + long(x) * out.channels + channel;
                multiply<ROWS, PANELS, STEP, 0>(runs, kernel, step, panels, depth, Target{pixels, out.channels, PANEL});
                for (int m = 0; m < ROWS; ++m)
                    for (int n = 0; n < PANELS * VECTORS; ++n) {
                        const Vector sums = load(pixels + long(m) * out.channels + n * LANES);
                        total[n] += sums;
                        squares[n] += sums * sums;
                    }
            });
            for (int n = 0; n < PANELS * VECTORS; ++n) moments.add(channel + n * LANES, total[n], squares[n]);
        });
    }
}
