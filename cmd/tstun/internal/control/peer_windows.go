package control

import "os"

// peerOfSocket takes everybody for this user: Windows does not say who is at the
// other end. The access control list of the socket's directory decides who can
// connect.
func peerOfSocket(int) (peer, error) { return peer{uid: os.Geteuid()}, nil }
