#pragma once
#include "../vocabulary.h"
