/* SPDX-License-Identifier: MIT */
/* Where free functions, which the library calls on any thread, leave what only a thread
 * with the GIL may take apart. */
#include "native.h"

static _Atomic(struct wpy_grave *) graves;

void wpy_grave_add(struct wpy_grave *grave)
{
    grave->next = atomic_load(&graves);
    while (!atomic_compare_exchange_weak(&graves, &grave->next, grave))
        continue;
}

void wpy_graves_empty(void)
{
    struct wpy_grave *grave;

    if (atomic_load_explicit(&graves, memory_order_relaxed) == NULL)
        return;
    grave = atomic_exchange(&graves, NULL);
    while (grave != NULL) {
        struct wpy_grave *next = grave->next;

        grave->bury(grave);
        grave = next;
    }
}

void wpy_graves_forget(void)
{
    atomic_store(&graves, NULL);
}
