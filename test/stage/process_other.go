//go:build !linux

package stage

import "syscall"

// childAttr puts a child into a process group of its own, so that Ctrl-C in a terminal reaches only the parent, which ends
// everything in order.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
