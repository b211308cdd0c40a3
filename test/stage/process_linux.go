package stage

import "syscall"

// childAttr puts a child into a process group of its own, so that Ctrl-C in a terminal reaches only the parent, which ends
// everything in order. The kernel ends the child should the parent be killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
