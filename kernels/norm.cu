// Layer norm and RMS norm along the rows of a matrix. RMS norm is layer norm without the centring
// (m = 0, and no bias), so both are one kernel in each direction.
//
//   forward   m = mean x,  rstd = 1 / sqrt(mean (x - m)^2 + eps),  h = (x - m) rstd,  y = h w + b
//   backward  g = dy w,  dx = rstd (g - mean g - h mean(g h))      (RMS norm: without mean g)
//             dw = sum over rows of dy h,  db = sum over rows of dy
//
// Bound by memory: forward reads x and writes y, backward reads dy and x and writes dx, each once
// as long as a row fits into registers, or, forward, into shared memory (row.cuh).
//
// The mean of a row near 10^4 is off by some 10^-3 in fp32, however it is summed: that is its
// rounding. Both directions therefore compute with the distances d = x - m, which are exact, and
// correct them by their own mean, `drift`. It costs one more sum in a reduction that is needed
// anyway.
//
// dw and db are sums over all rows. Teams keep sums of their own over the rows they work on: in
// registers, or in their line of `scratch` when rows do not fit. A second launch adds up the lines
// (column_sum.cuh), in a fixed order: the same bits in every run.
#include <algorithm>

#include "column_sum.cuh"

// Teams of the backward pass, and so lines of scratch (two for layer norm, of accumulators): enough
// warps for a large GPU, each with rows enough to make the lines cheap next to them.
int64_t norm_partials(int64_t rows, int64_t cols) {
    const int64_t wanted = cols <= 256 ? 2048 : cols <= 1024 ? 1024 : cols <= 4096 ? 512 : 256;
    return std::min({rows, wanted, grid_limit});
}
FUNCTION(norm_partials);

namespace {

constexpr int forward_kept_bytes = 128;

// As choose_plan: a thread holds dy, x, the weights, and the sums for dw and db at once. (A warp has up to
// 1,024 numbers of 16 bits: 128 threads with a pack each would take twice the instructions, most of them
// for the reductions.)
template <class T, class Use>
void choose_backward_plan(int64_t cols, Use use) {
    constexpr int width = Pack<T>::size;
    if (cols <= 32 * width) {
        use(Plan<32, 1>());
    } else if (cols <= 32 * width * 4) {
        use(Plan<32, 4>());
    } else if (cols <= 128 * width * 4) {
        use(Plan<128, 4>());
    } else if (cols <= 256 * width * 4) {
        use(Plan<256, 4>());
    } else {
        use(Plan<256, 0>());
    }
}

template <class A, int count>
struct Sums {
    A values[count];
    __device__ A& operator[](int i) { return values[i]; }
    __device__ Sums operator+(const Sums& other) const {
        Sums result;
#pragma unroll
        for (int i = 0; i < count; ++i) {
            result[i] = values[i] + other.values[i];
        }
        return result;
    }
};

// Whether a sum of squares has neither overflowed nor lost small terms that count.
__device__ inline bool keeps_digits(float square) { return square > 1e-24f && square < 1e38f; }
__device__ inline bool keeps_digits(double square) { return square > 1e-270 && square < 1e307; }

// x - mean, as a row: kept where x is, so that a number of 16 bits is widened once.
template <class Own>
struct Distances {
    using A = typename Own::A;
    using Index = typename Own::Index;
    using Numbers = Elements<typename Own::T>;

    const Row<Own>& x;
    A mean;
    Numbers held[Own::kept ? Own::packs : 1];

    __device__ Distances(const Row<Own>& x, A mean) : x(x), mean(mean) {
        if constexpr (Own::kept) {
#pragma unroll
            for (int pack = 0; pack < Own::packs; ++pack) {
                held[pack] = elements(x.held[pack]);
            }
        }
    }

    __device__ void arrive() const { x.arrive(); }
    __device__ bool is_regular() const { return x.is_regular(); }
    __device__ auto load(Index first) const { return x.load(first); }
    template <bool certain>
    __device__ auto pack_at(Index pack) const {
        return x.template pack_at<certain>(pack);
    }

    __device__ const Numbers& elements(const Numbers& kept) const { return kept; }
    __device__ Numbers elements(const Pack<typename Own::T>& pack) const {
        Numbers d = x.elements(pack);
#pragma unroll
        for (int i = 0; i < Own::width; ++i) {
            d[i] -= mean;
        }
        return d;
    }
};

template <class Own>
__device__ auto largest_distance(const Own& columns, const Distances<Own>& d_row) {
    using A = typename Own::A;
    A largest = 0;
    columns.each([&](auto, A d) { largest = max(largest, d > A(0) ? d : -d); }, d_row);
    largest = columns.reduce(largest, Max());
    return largest > A(0) && largest < A(INFINITY) ? largest : A(1);
}

// RMS norm where `mean` is null.
template <class T>
struct NormForward {
    T* y;
    acc_t<T>*mean, *rstd;
    const T *x, *weight, *bias;
    acc_t<T> eps;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t row, int64_t start) const {
        using A = acc_t<T>;
        const bool centred = mean;
        const A inverse_cols = A(1) / A(columns.cols);
        const Row<Own> x_row(columns, x + start);
        A row_mean = 0;
        if (centred) {
            columns.each([&](auto, A x) { row_mean += x; }, x_row);
            row_mean = columns.reduce(row_mean, Sum()) * inverse_cols;
        }
        const Distances<Own> d_row(x_row, row_mean);
        Sums<A, 2> sums{};  // of d and d^2
        columns.each(
            [&](auto, A d) {
                sums[0] += d;
                sums[1] += d * d;
            },
            d_row);
        sums = columns.reduce(sums, Sum());
        const A drift = centred ? sums[0] * inverse_cols : A(0);
        const A variance = sums[1] * inverse_cols - drift * drift;
        const A square = (variance < A(0) ? A(0) : variance) + eps;  // below 0 by its rounding
        A row_rstd = rsqrt(square);
        if (!keeps_digits(square)) {  // of the whole team
            const A largest = largest_distance(columns, d_row);
            A squares = 0;
            columns.each(
                [&](auto, A d) {
                    const A part = (d - drift) / largest;
                    squares += part * part;
                },
                d_row);
            squares = columns.reduce(squares, Sum());
            row_rstd = A(1) / hypot(largest * sqrt(squares * inverse_cols), sqrt(eps));
        }

        // Not before: they come from caches, and with fewer registers more rows are under way.
        const OptionalRow<Own> weight_row(columns, weight, A(1));
        const OptionalRow<Own> bias_row(columns, bias);
        columns.write(
            y + start,
            [&](auto, A d, A w, A b) { return (d - drift) * row_rstd * w + b; }, d_row, weight_row,
            bias_row);
        if (columns.lane() == 0) {
            if (centred) {
                mean[row] = row_mean + drift;
            }
            rstd[row] = row_rstd;
        }
    }
};

// What a team adds up over its rows, for each column: in registers if the plan keeps rows, else in
// `line`, the team's line of scratch. Without a line nothing is asked for.
template <class Own>
struct TeamSums {
    using A = typename Own::A;
    using Place = typename Own::Place;

    const Own& columns;
    A* line;
    Elements<typename Own::T> held[Own::kept ? Own::packs : 1] = {};

    __device__ TeamSums(const Own& columns, A* line) : columns(columns), line(line) {
        if (!Own::kept && line) {
            columns.each([&](Place at) { line[at.column] = A(0); });
        }
    }

    __device__ void add(Place at, A value) {
        if constexpr (Own::kept) {
            held[at.pack][at.element] += value;
        } else if (line && columns.has(at.column)) {
            line[at.column] += value;
        }
    }

    __device__ void finish() const {
        if (Own::kept && line) {
            columns.each([&](Place at) { line[at.column] = held[at.pack][at.element]; });
        }
    }
};

template <class T, class Plan, Layout layout>
__global__ void __launch_bounds__(Plan::threads, 1)
    norm_backward_kernel(T* dx, acc_t<T>* dweight_lines, acc_t<T>* dbias_lines, const T* dy,
                         const T* x, const acc_t<T>* mean, const acc_t<T>* rstd, const T* weight,
                         int64_t rows, int64_t cols, int64_t teams) {
    using Own = Columns<T, Plan, layout>;
    using A = acc_t<T>;
    const Own columns(cols);
    const bool centred = mean;
    const A inverse_cols = A(1) / A(cols);
    const int64_t team = team_index<Plan>();
    if (team >= teams) {
        return;  // the last block may have more teams than there are lines
    }
    const OptionalRow<Own> weight_row(columns, weight, A(1));
    TeamSums<Own> dweight(columns, dweight_lines ? dweight_lines + team * cols : nullptr);
    TeamSums<Own> dbias(columns, dbias_lines ? dbias_lines + team * cols : nullptr);
    for (int64_t row = team; row < rows; row += teams) {
        const Row<Own> dy_row(columns, dy + row * cols), x_row(columns, x + row * cols);
        const A row_mean = centred ? mean[row] : A(0), row_rstd = rstd[row];
        Sums<A, 3> sums{};  // of d, g and g d rstd
        columns.each(
            [&](auto, A dy, A x, A w) {
                const A d = x - row_mean, g = dy * w;
                sums[0] += d;
                sums[1] += g;
                sums[2] += g * (d * row_rstd);
            },
            dy_row, x_row, weight_row);
        sums = columns.reduce(sums, Sum());
        const A drift = centred ? sums[0] * inverse_cols : A(0);
        const A mean_g = centred ? sums[1] * inverse_cols : A(0);
        const A mean_gh = sums[2] * inverse_cols - drift * row_rstd * mean_g;
        columns.write(
            dx + row * cols,
            [&](auto at, A dy, A x, A w) {
                const A h = (x - row_mean - drift) * row_rstd;
                dweight.add(at, dy * h);
                dbias.add(at, dy);
                return (dy * w - mean_g - h * mean_gh) * row_rstd;
            },
            dy_row, x_row, weight_row);
    }
    dweight.finish();
    dbias.finish();
}

template <class T>
void forward(T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x, const T* weight, const T* bias,
             int64_t rows, int64_t cols, double eps, cudaStream_t stream) {
    for_each_row<T, forward_kept_bytes, 1>(
        "norm_forward", rows, cols, stream,
        NormForward<T>{y, mean, rstd, x, weight, bias, acc_t<T>(eps)}, y, x, weight, bias);
}

template <class T>
void backward(T* dx, T* dweight, T* dbias, acc_t<T>* scratch, const T* dy, const T* x,
              const T* weight, const acc_t<T>* mean, const acc_t<T>* rstd, int64_t rows,
              int64_t cols, cudaStream_t stream) {
    if (cols == 0) {
        return;
    }
    const int64_t teams = norm_partials(rows, cols);
    acc_t<T>* dweight_lines = dweight ? scratch : nullptr;
    acc_t<T>* dbias_lines = dbias ? scratch + teams * cols : nullptr;
    if (rows > 0) {
        choose_backward_plan<T>(cols, [&](auto plan) {
            using Plan = decltype(plan);
            const auto launch = [&](auto kernel) {
                LAUNCH_AS("norm_backward", kernel, ceil_div(teams, Plan::rows_per_block),
                          Plan::threads, 0, stream, dx, dweight_lines, dbias_lines, dy, x, mean,
                          rstd, weight, rows, cols, teams);
            };
            // (The columns of a thread must be the same in all rows: no peeled ones.)
            constexpr Layout widest = sizeof(T) == 8 ? Layout::single : Layout::packs;
            if (rows_in_packs<T>(cols, dx, dy, x, weight)) {
                launch(norm_backward_kernel<T, Plan, widest>);
            } else {
                launch(norm_backward_kernel<T, Plan, Layout::single>);
            }
        });
    }
    const ColumnSums<T, acc_t<T>> weights{dweight, dweight_lines}, biases{dbias, dbias_lines};
    if (dweight || dbias) {
        sum_columns(dweight ? weights : biases, dweight ? biases : weights, teams, cols, 1, {}, stream);
    }
}

}  // namespace

// weight, bias, dweight, dbias or null.
LAUNCHER_AS(layer_norm_forward, forward<T>);
LAUNCHER_AS(layer_norm_backward, backward<T>);

template <class T>
void rms_norm_forward(T* y, acc_t<T>* rstd, const T* x, const T* weight, int64_t rows, int64_t cols,
                      double eps, cudaStream_t stream) {
    forward<T>(y, nullptr, rstd, x, weight, nullptr, rows, cols, eps, stream);
}
LAUNCHER(rms_norm_forward);

template <class T>
void rms_norm_backward(T* dx, T* dweight, acc_t<T>* scratch, const T* dy, const T* x,
                       const T* weight, const acc_t<T>* rstd, int64_t rows, int64_t cols,
                       cudaStream_t stream) {
    backward<T>(dx, dweight, nullptr, scratch, dy, x, weight, nullptr, rstd, rows, cols,
                       stream);
}
LAUNCHER(rms_norm_backward);
