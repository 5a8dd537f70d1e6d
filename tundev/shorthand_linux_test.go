//go:build !android

package tundev_test

import "tstun/internal/tunqueue/queuetest"

// Short names of what queuetest has.
var (
	buffers, batchOf     = queuetest.Buffers, queuetest.Batch
	udp, tcpSized        = queuetest.UDP, queuetest.TCP
	superUDP, superTCP   = queuetest.SuperUDP, queuetest.SuperTCP
	withVirtio           = queuetest.WithVirtio
	received, checkFlows = queuetest.Received, queuetest.CheckFlows
)

// tcp is segment i of a flow, with 100 bytes.
func tcp(flow uint16, i int) []byte { return tcpSized(flow, i, 100) }
