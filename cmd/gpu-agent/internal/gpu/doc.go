// Package gpu is what the GPUs of one node say, as plain data: which fields of
// DCGM are read and under which names they are offered, which of their values
// can be believed, and how busy a pod's GPUs are.
//
// It must never know how values are got (the binding to DCGM), whose GPUs they
// are found to be (the kubelet), or how they are served. It reads no clock.
//
//	field.go   the fields, by number, with both generations of names
//	device.go  a GPU, or an instance of a divided one, and the names it is allocated by
//	value.go   one value, and why it may have to be left out
//	load.go    the load of a pod from its GPUs
//
// # Rules
//
// A value is left out, never replaced by zero, when DCGM gives a status other
// than ok, when it is one of DCGM's blanks (int64 0x7ffffffffffffff0 and above,
// double 2^47 and above), when it is older than the given age or from the
// future, or when it cannot be (not a number, negative, a share over one).
//
// DCGM serves the last value for ever when its updates stop, so the age is
// judged when the value is served and not when it is read.
//
// Sources: DCGM's field identifiers and status codes as of DCGM 4.6
// (dcgm_fields.h, dcgm_structs.h), and the names that dcgm-exporter 4.5 to 4.8 gives them.
package gpu
