// Package loopback gives addresses to servers that have to be told theirs before they listen: a child process with a flag, or a
// server that comes back where it was.
//
// A port that was found free, let go of and opened again later may be taken in between, by any server of any test that runs
// beside this one. So each process asks at an IP address of its own, out of 127.246.0.0/16 by the low half of its process id:
// nobody else opens ports there, and within the process none is given twice.
//
// It never opens a connection, and nothing of the product uses it. Linux answers at all of 127.0.0.0/8 without being told to.
package loopback
