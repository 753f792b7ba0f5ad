// Steps of optimizers.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "kernels/steps.h"

template <class A, class Kind, class... States>
void loop(Kind step, int64_t size, A* __restrict param, const A* __restrict grad,
          States* __restrict... states) {
    for (int64_t i = 0; i < size; ++i) {
        step(param[i], grad[i], states[i]...);
    }
}

template <class A, class Kind, size_t... i>
void loop_from(void* const* arrays, int64_t begin, int64_t end, Kind step,
               std::index_sequence<i...>) {
    const auto from = [=](int number) { return static_cast<A*>(arrays[number]) + begin; };
    loop<A>(step, end - begin, from(0), from(1), from(2 + i)...);
}

template <template <class> class Kind, class A>
void step_loop(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    steps::Row<Kind> row;
    std::memcpy(row.numbers, numbers, sizeof row.numbers);
    loop_from<A>(arrays, begin, end, row.template step<A>(),
                 std::make_index_sequence<Kind<A>::states>());
}

template <template <class> class Kind>
constexpr Entry entry(const char* name) {
    using Row = steps::Row<Kind>;
    static_assert(Row::arrays_count <= max_arrays && Row::numbers_count <= max_numbers);
    return {name, Row::arrays_count, Row::numbers_count, step_loop<Kind, float>,
            step_loop<Kind, double>, nullptr};
}

constexpr Loops all_steps() {
    Loops all{};
#define ENTRY(name, Kind) all.each[all.count++] = entry<Kind>(#name "_step")
    FOR_EACH_STEP(ENTRY);
    return all;
}

}  // namespace

extern const Loops OF_LEVEL(steps);
const Loops OF_LEVEL(steps) = all_steps();
