// The graph of models/frame_graph.py in one pass per layer: each layer normalizes the rows that it reads, and sums up
// the statistics of what it writes. Called from models/engines/native.py, from several threads at once.

#include <new>

#include "color.h"
#include "transformed.h"

// One frame; all arrays belong to the caller. The fields of models/engines/native_library.py, in the same order.
struct Job {
    int32_t height, width;                // of the frame
    int32_t padded_height, padded_width;  // of what the network sees: multiples of 4
    int32_t pixel_type;                   // FLOAT: the network alone, from three planes to three planes
    int32_t threads;
    int32_t full, half, quarter, blocks, kernel;  // the architecture
    float past_weight, strength, keep_colors;
    const void* pixels;
    const Operand* const* weights;  // of all layers, packed
    const float *scale, *shift, *bias;
    const float* past;  // (2, channels of all normalizations + 1)
    float* used;        // the same shape
    void* result;       // as the pixels
    Feature* memory;    // flowbrush_memory bytes
};

namespace {

struct Range {
    int first, last;
};

// Call `work(first, last, thread)` with rows of a multiple of `unit`, one range for each thread.
template <class Work>
void in_parallel(int rows, int unit, int threads, Work&& work) {
    const int units = (rows + unit - 1) / unit, count = std::min(threads, units);
    const auto range = [&](int thread) {
        return Range{int(long(units) * thread / count) * unit,
                     std::min(int(long(units) * (thread + 1) / count) * unit, rows)};
    };
    if (count == 1) return work(0, rows, 0);
    bool has_failed = false;  // an exception must not leave a parallel region
#pragma omp parallel for num_threads(count) schedule(static, 1) reduction(|| : has_failed)
    for (int thread = 0; thread < count; ++thread) try {
            const Range rows_of_thread = range(thread);
            work(rows_of_thread.first, rows_of_thread.last, thread);
        } catch (const std::bad_alloc&) {
            has_failed = true;
        }
    if (has_failed) throw std::bad_alloc();
}

class Network {
  public:
    explicit Network(const Job& job) : job_(job), statistics_(size(job)), gain_(statistics_ - 1), offset_(statistics_ - 1) {}

    static int size(const Job& job) {
        return 2 * job.full + 2 * job.half + job.quarter * (1 + 2 * job.blocks) + 1;
    }

    void run() {
        const int height = job_.padded_height, width = job_.padded_width;
        const long quarter_size = long(height / 4) * (width / 4) * job_.quarter;
        Feature* full = job_.memory;
        Feature* half = full + long(height) * width * job_.full;
        Feature* quarter = half + long(height / 2) * (width / 2) * job_.half;
        Feature *between = quarter + quarter_size, *inputs[2] = {between + quarter_size, between + 2 * quarter_size};
        const PixelRows pixels{PixelType(job_.pixel_type), job_.pixels, job_.height, job_.width, height, width};
        const Output output_full{full, height, width, job_.full}, output_half{half, height / 2, width / 2, job_.half};
        const Output output_quarter{quarter, height / 4, width / 4, job_.quarter};

        direct(pixels, job_.kernel, 1, output_full);
        direct(features(output_full), 3, 2, output_half);
        direct(features(output_half), 3, 2, output_quarter);
        const Feature* input = nullptr;
        for (int block = 0; block < job_.blocks; ++block) {
            auto first = features(output_quarter);
            first.add = input;
            first.keep = inputs[block % 2];
            residual(first, {between, height / 4, width / 4, job_.quarter});
            input = first.keep;
            residual(features({between, height / 4, width / 4, job_.quarter}), output_quarter);
        }
        auto last = features<false>(output_quarter);
        last.add = input;
        upsample(last, output_half);
        upsample(features<false>(output_half), output_full);
        color(features(output_full));
    }

  private:
    template <bool MIRRORS = true>
    FeatureRows<MIRRORS> features(const Output& output) const {
        const long channel = channel_ - output.channels;  // of the normalization that `finish` has completed
        return {output.features, gain_.data() + channel, offset_.data() + channel, output.height, output.width, output.channels};
    }

    // Run a layer on ranges of `rows`; then turn the sums of its output into gain and offset.
    template <class Work>
    void layer(const Output& out, int rows, int unit, Work&& work) {
        std::vector<double> sums(2L * job_.threads * out.channels);
        const Operand* weights = job_.weights[layer_++];
        in_parallel(rows, unit, job_.threads, [&](int first, int last, int thread) {
            double* sum = sums.data() + 2L * thread * out.channels;
            work(weights, first, last, Moments{sum, sum + out.channels});
        });
        const double pixels = double(out.height) * out.width;
        for (int c = 0; c < out.channels; ++c) {
            double sum = 0, square = 0;
            for (int thread = 0; thread < job_.threads; ++thread) {
                sum += sums[2L * thread * out.channels + c];
                square += sums[(2L * thread + 1) * out.channels + c];
            }
            const double mean = sum / pixels;
            normalize(channel_++, float(mean), float(std::max(square / pixels - mean * mean, 0.0)));
        }
    }

    void normalize(int channel, float mean, float variance) {
        mean = mix(channel, mean, job_.past);
        variance = mix(statistics_ + channel, variance, job_.past);
        gain_[channel] = job_.scale[channel] / std::sqrt(variance + 1e-5f);
        offset_[channel] = job_.shift[channel] - mean * gain_[channel];
    }

    float mix(int index, float value, const float* past) const {
        return job_.used[index] = value + job_.past_weight * (past[index] - value);
    }

    template <class Source>
    void direct(const Source& source, int kernel, int stride, const Output& out) {
        layer(out, out.height, 1, [&](const Operand* weights, int first, int last, Moments moments) {
            const auto known = [&]<int STEP>() {
                convolve<STEP>(source, weights, kernel, stride, out, first, last, moments);
            };
            const int step = stride * source.channels;
            step == 32   ? known.template operator()<32>()
            : step == 64 ? known.template operator()<64>()
                         : known.template operator()<0>();
        });
    }

    void residual(const FeatureRows<true>& source, const Output& out) {
        layer(out, out.height, Winograd::STEP, [&](const Operand* weights, int first, int last, Moments moments) {
            auto rows = source;
            rows.first_kept = first;
            rows.last_kept = last;
            Winograd::convolve(rows, weights, out, first, last, moments);
        });
    }

    void upsample(const FeatureRows<false>& source, const Output& out) {
        layer(out, source.height, 1, [&](const Operand* weights, int first, int last, Moments moments) {
            Upsampling::convolve(source, weights, out, first, last, moments);
        });
    }

    void color(const FeatureRows<true>& source) {
        const long step = whole_blocks(source.width);
        std::vector<float> light;
        const Blend blend = make_blend(light);
        in_parallel(job_.height, 1, job_.threads, [&](int first, int last, int) {
            PlaneWindow<FeatureRows<true>> window(source, job_.kernel / 2, job_.kernel + 1, first);
            std::vector<float> planes((COLORS + 1) * step);
            for (int y = first; y < last; ++y) {
                window.advance(y + job_.kernel / 2 + 1);
                const auto compute = job_.kernel == 5 ? color_row<5, FeatureRows<true>> : color_row<0, FeatureRows<true>>;
                compute(window, source.channels, source.width, job_.weights[layer_], job_.bias, job_.kernel, y,
                        planes.data(), step);
                for (long i = 0; i < COLORS * step; ++i) planes[i] = sigmoid(planes[i]);
                finish_row(blend, y, planes.data(), step);
            }
        });
    }

    void finish_row(const Blend& blend, int y, float* planes, long step) const {
        if (blend.type == UINT8) blend_row<uint8_t>(blend, y, planes, step, planes + COLORS * step);
        if (blend.type == UINT16) blend_row<uint16_t>(blend, y, planes, step, planes + COLORS * step);
        if (blend.type == FLOAT)
            for (int c = 0; c < COLORS; ++c)
                std::copy_n(planes + c * step, job_.width,
                            static_cast<float*>(job_.result) + (long(c) * job_.height + y) * job_.width);
    }

    Blend make_blend(std::vector<float>& light) {
        if (job_.pixel_type == UINT8) return make_blend<uint8_t>(light);
        if (job_.pixel_type == UINT16) return make_blend<uint16_t>(light);
        return {FLOAT, nullptr, nullptr, job_.height, job_.width, 0, 0, nullptr, 0, 0};
    }

    template <class Level>
    Blend make_blend(std::vector<float>& light) {
        const PixelType type = PixelType(job_.pixel_type);
        const float scale = max_level(type);
        const Level* frame = static_cast<const Level*>(job_.pixels);
        float mean, variance;
        frame_moments(frame, long(job_.height) * job_.width, scale, &mean, &variance);
        mix(statistics_ - 1, mean, job_.past);
        variance = mix(2 * statistics_ - 1, variance, job_.past);
        const float gain = unit((std::sqrt(variance) - 0.01f) / (0.06f - 0.01f));
        const int rows = std::max(job_.height / 8, 1), columns = std::max(job_.width / 8, 1);
        light.resize(long(rows) * columns);
        block_light(frame, job_.height, job_.width, scale, light.data(), rows, columns);
        for (float& value : light) value = unit((value - 3.f / 255) / (25.f / 255));
        return {type, frame, job_.result, job_.height, job_.width, job_.strength * gain, job_.keep_colors, light.data(), rows, columns};
    }

    const Job& job_;
    int statistics_, layer_ = 0, channel_ = 0;
    std::vector<float> gain_, offset_;
};

}  // namespace

extern "C" {

// Return how many bytes of memory a frame of this job takes.
int64_t flowbrush_memory(const Job* job) {
    const int64_t pixels = int64_t(job->padded_height) * job->padded_width;
    const int64_t features = pixels * job->full + pixels / 4 * job->half + pixels / 16 * job->quarter * 4;
    return features * int64_t(sizeof(Feature));
}

// Stylize a frame; return 0, or 1 if memory runs out.
int flowbrush_stylize(const Job* job) try {
    Network(*job).run();
    return 0;
} catch (const std::bad_alloc&) {
    return 1;
}
}
