//go:build !android

package tunqueue_test

import "tstun/internal/tunqueue/queuetest"

// Short names of what queuetest has.
const (
	room     = queuetest.Room
	patience = queuetest.Patience
)

var (
	newQueue, newPair = queuetest.New, queuetest.Pair
	buffers, batchOf  = queuetest.Buffers, queuetest.Batch
	udp, superUDP     = queuetest.UDP, queuetest.SuperUDP
	withVirtio, send  = queuetest.WithVirtio, queuetest.Send
	received          = queuetest.Received
	checkFlows        = queuetest.CheckFlows
	soon              = queuetest.Soon
)

// tcp is segment i of a flow, with 100 bytes.
func tcp(flow uint16, i int) []byte { return queuetest.TCP(flow, i, 100) }
