// Package tundev makes TUN devices: it creates them on Linux, macOS, Windows,
// FreeBSD and OpenBSD, takes over descriptors that somebody else opened, says
// in plain words why a creation failed, and presents an Ethernet TAP as a TUN.
//
// Every device that it returns is a [tun.Device] whose methods are safe from
// any goroutine before, during and after Close. Close may be called more than
// once, ends a Read that is blocked, and ends every goroutine of the device.
// After it Read and Write return an error for which errors.Is(err,
// os.ErrClosed) holds, Name returns the last name, and Events is closed.
//
// Nothing here reads the environment, and only [Create] changes the system.
package tundev
