/* SPDX-License-Identifier: MIT */
/* Comparing what somebody says with a secret. */
#ifndef WSI_CORE_SECRET_H
#define WSI_CORE_SECRET_H

#include <stdbool.h>

/** The time it takes depends on the two lengths, and not on where they differ. */
bool wsi_secret_equal(const char *given, const char *secret);

#endif
