#include "infer/sampler.h"
