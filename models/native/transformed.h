// Convolutions with fewer multiplications: transform small tiles, multiply matrices, transform back.
#pragma once

#include "convolve.h"

// Memory for the tiles of one chunk: for each of POINTS products, panels of channels, and in each a row a tile.
template <class Number>
class Tiles {
  public:
    Tiles(int points, int tiles, int channels)
        // Steps that are multiples of 4096 bytes would share the same few lines of the cache.
        : panel_(long(tiles) * PANEL), step_(panel_ * (channels / PANEL) + 64 / sizeof(Number)),
          buffer_(points * step_) {}

    Number* at(int point, int tile, int channel) {
        return buffer_.data() + point * step_ + channel / PANEL * panel_ + tile * PANEL + channel % PANEL;
    }

    long panel() const { return panel_; }

  private:
    long panel_, step_;
    Buffer<Number> buffer_;
};

constexpr int MAX_RUNS = 64;  // panels of inputs

// out[point] = in[point] * weights[point] for all points; weights (points, panels, groups of inputs, PANEL, DOT).
inline void multiply_points(int points, int tiles, Tiles<Operand>& in, int inputs, const Operand* weights,
                            Tiles<float>& out, int outputs) {
    for (int point = 0; point < points; ++point, weights += long(inputs) * outputs)
        in_panels<MOST_PANELS>(0, outputs, [&]<int PANELS>(int channel) {
            in_blocks<tile_rows(PANELS)>(tiles, [&]<int ROWS>(int tile) {
                const Operand* runs[MAX_RUNS];
                for (int run = 0; run < inputs / PANEL; ++run) runs[run] = in.at(point, tile, run * PANEL);
                multiply<ROWS, PANELS, PANEL, PANEL / DOT>(runs, inputs / PANEL, 0, weights + long(channel) * inputs, 0,
                                                           Target{out.at(point, tile, channel), PANEL, out.panel()});
            });
        });
}

// Winograd's minimal filtering F(4x4, 3x3): 36 multiplications for 16 pixels instead of 144.
// Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv:1509.09308. The polynomials are
// interpolated at 0, A, -A, B, -B and infinity. The paper has 1 and 2, whose rounding errors are twice as large; see
// Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", 2020, arXiv:1803.10986.
struct Winograd {
    static constexpr int SIDE = 6, STEP = 4, POINTS = SIDE * SIDE, CHUNK = DOT == 1 ? 40 : 20;
    static constexpr float A = 0.625f, B = 1.5f, AA = A * A, BB = B * B;  // exact

    static inline void spread(const Vector (&d)[SIDE], Vector (&t)[SIDE]) {
        const Vector a = d[4] - BB * d[2], b = A * (d[3] - BB * d[1]), c = d[4] - AA * d[2], e = B * (d[3] - AA * d[1]);
        t[0] = AA * BB * d[0] - (AA + BB) * d[2] + d[4];
        t[1] = a + b;
        t[2] = a - b;
        t[3] = c + e;
        t[4] = c - e;
        t[5] = AA * BB * d[1] - (AA + BB) * d[3] + d[5];
    }

    static inline void gather(const Vector (&m)[SIDE], Vector (&y)[STEP]) {
        const Vector a = m[1] + m[2], b = A * (m[1] - m[2]), c = m[3] + m[4], e = B * (m[3] - m[4]);
        y[0] = m[0] + a + c;
        y[1] = b + e;
        y[2] = AA * a + BB * c;
        y[3] = AA * b + BB * e + m[5];
    }

    template <class Rows>
    static void transform_input(const Rows& window, int y, int first_tile, int tiles, int channels, Tiles<Operand>& out) {
        for (int tile = 0; tile < tiles; ++tile)
            for (int c = 0; c < channels; c += LANES) {
                Vector half[SIDE][SIDE];
                for (int j = 0; j < SIDE; ++j) {
                    Vector column[SIDE], spreaded[SIDE];
                    const long at = long((first_tile + tile) * STEP + j) * channels + c;
                    for (int i = 0; i < SIDE; ++i) column[i] = load(window.row(y - 1 + i) + at);
                    spread(column, spreaded);
                    for (int i = 0; i < SIDE; ++i) half[i][j] = spreaded[i];
                }
                for (int i = 0; i < SIDE; ++i) {
                    Vector points[SIDE];
                    spread(half[i], points);
                    for (int j = 0; j < SIDE; ++j) store(out.at(i * SIDE + j, tile, c), points[j]);
                }
            }
    }

    static void transform_output(Tiles<float>& in, int tiles, Output out, int y, int first_tile, Moments moments) {
        const int rows = std::min(STEP, out.height - y);
        for (int c = 0; c < out.channels; c += LANES) {
            Vector total{}, squares{};
            for (int tile = 0; tile < tiles; ++tile) {
                Vector half[STEP][SIDE];
                for (int j = 0; j < SIDE; ++j) {
                    Vector column[SIDE], gathered[STEP];
                    for (int i = 0; i < SIDE; ++i) column[i] = load(in.at(i * SIDE + j, tile, c));
                    gather(column, gathered);
                    for (int i = 0; i < STEP; ++i) half[i][j] = gathered[i];
                }
                const int x = (first_tile + tile) * STEP, columns = std::min(STEP, out.width - x);
                for (int i = 0; i < rows; ++i) {
                    Vector pixels[STEP];
                    gather(half[i], pixels);
                    Feature* row = out.features + (long(y + i) * out.width + x) * out.channels + c;
                    for (int j = 0; j < columns; ++j) {
                        store(row + long(j) * out.channels, pixels[j]);
                        total += pixels[j];
                        squares += pixels[j] * pixels[j];
                    }
                }
            }
            moments.add(c, total, squares);
        }
    }

    // Rows first to last of a 3x3 convolution, first a multiple of STEP; weights (POINTS, panels, inputs, PANEL).
    template <class Source>
    static void convolve(const Source& source, const Operand* weights, Output out, int first, int last, Moments moments) {
        const int across = (out.width + STEP - 1) / STEP, chunk = std::min(CHUNK, across);
        Window<Source, float> window(source, 1, SIDE + 2, first, across * STEP - out.width);
        Tiles<Operand> in(POINTS, chunk, source.channels);
        Tiles<float> products(POINTS, chunk, out.channels);
        for (int y = first; y < last; y += STEP) {
            window.advance(y + STEP + 1);
            for (int tile = 0; tile < across; tile += chunk) {
                const int tiles = std::min(chunk, across - tile);
                transform_input(window, y, tile, tiles, source.channels, in);
                multiply_points(POINTS, tiles, in, source.channels, weights, products, out.channels);
                transform_output(products, tiles, out, y, tile, moments);
            }
        }
    }
};

// Nearest-neighbor upsampling by 2, then a 3x3 convolution: 9 multiplications for 4 pixels instead of 36.
// Along one side, with pixels a, b, c: 2 outputs are w0 * (a - b) + s * b and s * b + w2 * (c - b), s = w0 + w1 + w2.
struct Upsampling {
    static constexpr int SIDE = 3, POINTS = SIDE * SIDE, CHUNK = DOT == 1 ? 40 : 20;

    template <class Rows>
    static void transform_input(const Rows& window, int y, int first, int pixels, int channels, Tiles<Operand>& out) {
        for (int c = 0; c < channels; c += LANES) {
            const float* rows[SIDE];
            for (int i = 0; i < SIDE; ++i) rows[i] = window.row(y - 1 + i) + long(first) * channels + c;
            const auto column = [&](int x, Vector(&d)[SIDE]) {
                d[1] = load(rows[1] + long(x) * channels);
                d[0] = load(rows[0] + long(x) * channels) - d[1];
                d[2] = load(rows[2] + long(x) * channels) - d[1];
            };
            Vector left[SIDE], here[SIDE], right[SIDE];
            column(0, left);
            column(1, here);
            for (int x = 0; x < pixels; ++x) {
                column(x + 2, right);
                for (int i = 0; i < SIDE; ++i) {
                    store(out.at(i * SIDE, x, c), left[i] - here[i]);
                    store(out.at(i * SIDE + 1, x, c), here[i]);
                    store(out.at(i * SIDE + 2, x, c), right[i] - here[i]);
                    left[i] = here[i];
                    here[i] = right[i];
                }
            }
        }
    }

    static void transform_output(Tiles<float>& in, int pixels, Output out, int y, int first, Moments moments) {
        for (int c = 0; c < out.channels; c += LANES) {
            Vector total{}, squares{};
            Feature* row = out.features + (2L * y * out.width + 2 * first) * out.channels + c;
            for (int x = 0; x < pixels; ++x)
                for (int i = 0; i < 2; ++i) {
                    Vector sums[SIDE];
                    for (int j = 0; j < SIDE; ++j)
                        sums[j] = load(in.at(i * SIDE + j, x, c)) + load(in.at((i + 1) * SIDE + j, x, c));
                    for (int j = 0; j < 2; ++j) {
                        const Vector pixel = sums[j] + sums[j + 1];
                        store(row + (long(i) * out.width + 2 * x + j) * out.channels, pixel);
                        total += pixel;
                        squares += pixel * pixel;
                    }
                }
            moments.add(c, total, squares);
        }
    }

    // Output rows 2 * first to 2 * last; weights (POINTS, panels, inputs, PANEL).
    template <class Source>
    static void convolve(const Source& source, const Operand* weights, Output out, int first, int last, Moments moments) {
        const int chunk = std::min(CHUNK, source.width);
        Window<Source, float> window(source, 1, SIDE + 1, first);
        Tiles<Operand> in(POINTS, chunk, source.channels);
        Tiles<float> products(POINTS, chunk, out.channels);
        for (int y = first; y < last; ++y) {
            window.advance(y + 2);
            for (int x = 0; x < source.width; x += chunk) {
                const int pixels = std::min(chunk, source.width - x);
                transform_input(window, y, x, pixels, source.channels, in);
                multiply_points(POINTS, pixels, in, source.channels, weights, products, out.channels);
                transform_output(products, pixels, out, y, x, moments);
            }
        }
    }
};
