// Numbers of one dtype as floats of another, rounded as NumPy and ml_dtypes round them.
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/narrow.h"

// NumPy takes any byte of a view as bool that is not 0 for True.
struct Truth {
    uint8_t byte;
};
inline float widened(Truth x) {
    return x.byte != 0 ? 1.0f : 0.0f;
}

template <class S>
constexpr bool is_16_bits = std::is_same_v<S, Half> || std::is_same_v<S, Brain>;

template <class From, class To>
void cast(void* const* arrays, const double*, int64_t begin, int64_t end) {
    To* __restrict y = static_cast<To*>(arrays[0]);
    const From* __restrict x = static_cast<const From*>(arrays[1]);
    if constexpr (std::is_same_v<From, float> && !std::is_arithmetic_v<To>) {
        narrow(y + begin, x + begin, end - begin);
        return;
    } else if constexpr (std::is_same_v<To, float> && is_16_bits<From>) {
        widen(y + begin, x + begin, end - begin);
        return;
    }
    for (int64_t i = begin; i < end; ++i) {
        if constexpr (std::is_arithmetic_v<From> && std::is_arithmetic_v<To>) {
            y[i] = To(x[i]);
        } else if constexpr (std::is_arithmetic_v<To>) {
            y[i] = To(widened(x[i]));
        } else if constexpr (std::is_arithmetic_v<From>) {
            y[i] = narrowed<To>(float(x[i]));
        } else {
            y[i] = narrowed<To>(widened(x[i]));
        }
    }
}

// To 16 bits only of what a float holds: else it would be rounded twice. (Where there is none from 16
// bits, the libraries make other bits of what is no number than a float on the way would.)
constexpr Loops all() {
    Loops found{};
#define FROM(S, wide, half, brain) \
    found.each[found.count++] = {"cast", 2, 0, cast<S, float>, wide, "dtype", half, brain};
    // In the order of the sources in doors/cast.cpp.
    FROM(float, (cast<float, double>), (cast<float, Half>), (cast<float, Brain>))
    FROM(double, nullptr, nullptr, nullptr)
    FROM(Half, nullptr, nullptr, (cast<Half, Brain>))
    FROM(Brain, (cast<Brain, double>), nullptr, nullptr)
    FROM(uint8_t, (cast<uint8_t, double>), (cast<uint8_t, Half>), (cast<uint8_t, Brain>))
    FROM(int64_t, (cast<int64_t, double>), nullptr, nullptr)
    FROM(Truth, (cast<Truth, double>), (cast<Truth, Half>), (cast<Truth, Brain>))
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(cast);
const Loops OF_LEVEL(cast) = all();
