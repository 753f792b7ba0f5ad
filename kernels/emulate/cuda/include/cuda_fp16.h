#pragma once
#include "../vocabulary.h"

#include "../half.h"
