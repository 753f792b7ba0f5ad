// What reductions add up, or combine otherwise, for the loops and their doors.
#pragma once

enum class Kind : int {
    sum,
    sum_wide,  // in double, of which a mean keeps all digits
    squares,  // of float; then in double, where that leaves the range
    squares_wide,
    sizes,
    centred,  // squares of distances from a mean
    centred_wide,
    exponentials,  // e^(x - largest)
    product,
    largest,
    smallest,
};
