// The one way to Vulkan's declarations: prototypes are off, functions are reached through per-device tables.
#pragma once

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <volk.h>
