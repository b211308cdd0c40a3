package ports

import (
	"fmt"
	"syscall"
)

// hold binds a socket to a port that the kernel chooses.
func hold() (port int, release func(), err error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	release = func() { _ = syscall.Close(socket) }
	// Without it no server could bind the port beside this socket.
	if err = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err == nil {
		err = syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var bound syscall.Sockaddr
	if err == nil {
		bound, err = syscall.Getsockname(socket)
	}
	address, ok := bound.(*syscall.SockaddrInet4)
	if err == nil && !ok {
		err = fmt.Errorf("it is bound to a %T", bound)
	}
	if err != nil {
		release()
		return 0, nil, err
	}
	return address.Port, release, nil
}
