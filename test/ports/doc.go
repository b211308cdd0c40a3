// Package ports keeps TCP ports of 127.0.0.1 for servers that are started later, such as a program in a process of its own that is
// told its address on the command line.
//
// What it knows: how a port stays nobody else's until its server binds it, and again while that server is away. What it must
// never know: which servers there are.
//
// A port that was found free and let go can be somebody else's a moment later, and on a busy machine the moment lasts seconds. On
// Linux a socket is left bound to it, without listening: the kernel gives a bound port to nobody who asks for any port, neither to
// listen on nor to dial from, and still lets a server bind it by number that sets SO_REUSEADDR, as every listener of Go does
// (inet_csk_get_port and __inet_hash_connect in net/ipv4 of Linux). Elsewhere a port is only free at the moment of asking.
package ports
