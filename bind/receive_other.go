//go:build !linux

package bind

import "golang.zx2c4.com/wireguard/conn"

// receiveFuncs returns wireguard-go's own.
func (*bind) receiveFuncs(std []conn.ReceiveFunc) []conn.ReceiveFunc { return std }
