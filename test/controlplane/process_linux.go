package controlplane

import "syscall"

// childAttr puts a child into a process group of its own, so that a Ctrl-C reaches this process first and it can stop the
// children in order. The kernel kills the child should this process die without doing so.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
