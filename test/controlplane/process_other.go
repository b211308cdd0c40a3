//go:build !linux

package controlplane

import "syscall"

// childAttr puts a child into a process group of its own. Only Linux can also tie its life to this process.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
