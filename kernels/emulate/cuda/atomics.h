// The atomic functions that ../math.h lacks, and their forms for a block, which the checks tell apart, and
// for the whole system, which are the same here.
#pragma once

#include "../math.h"

EMULATE_ATOMIC(atomicSub, before - value)
EMULATE_ATOMIC(atomicAnd, before & value)
EMULATE_ATOMIC(atomicOr, before | value)
EMULATE_ATOMIC(atomicXor, before ^ value)
EMULATE_ATOMIC(atomicInc, before >= value ? 0 : before + 1)
EMULATE_ATOMIC(atomicDec, before == 0 || before > value ? value : before - 1)

#define EMULATE_SCOPED(name)                                                                       \
    template <class T>                                                                             \
    EMULATE_CALLED_BY_KERNELS T name##_block(T* address, typename emulate::Same<T>::type value) {  \
        emulate::check::narrow_next_atomic();                                                      \
        return name(address, value);                                                               \
    }                                                                                              \
    template <class T>                                                                             \
    EMULATE_CALLED_BY_KERNELS T name##_system(T* address, typename emulate::Same<T>::type value) { \
        return name(address, value);                                                               \
    }
EMULATE_SCOPED(atomicAdd)
EMULATE_SCOPED(atomicSub)
EMULATE_SCOPED(atomicMin)
EMULATE_SCOPED(atomicMax)
EMULATE_SCOPED(atomicExch)
EMULATE_SCOPED(atomicAnd)
EMULATE_SCOPED(atomicOr)
EMULATE_SCOPED(atomicXor)
EMULATE_SCOPED(atomicInc)
EMULATE_SCOPED(atomicDec)
#undef EMULATE_SCOPED

template <class T>
EMULATE_CALLED_BY_KERNELS T atomicCAS_block(T* address, typename emulate::Same<T>::type expected,
                                            typename emulate::Same<T>::type value) {
    emulate::check::narrow_next_atomic();
    return atomicCAS(address, expected, value);
}
template <class T>
EMULATE_CALLED_BY_KERNELS T atomicCAS_system(T* address, typename emulate::Same<T>::type expected,
                                             typename emulate::Same<T>::type value) {
    return atomicCAS(address, expected, value);
}
