// See gloo/rendezvous/store.h.
#pragma once
