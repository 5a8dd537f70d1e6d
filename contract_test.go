package tstun_test

import (
	"net/netip"
	"os"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/filter"
	"tstun/key"
	"tstun/logger"
	"tstun/netlogtype"
	"tstun/packet"
)

// The API contract, to the letter: if a name, a type or a signature changes,
// this file does not compile.

const (
	_ = uint(tstun.DefaultMTU - 1280)
	_ = uint(1280 - tstun.DefaultMTU)
	_ = uint(tstun.MaxPacketSize - device.MaxContentSize)
	_ = uint(device.MaxContentSize - tstun.MaxPacketSize)
	_ = uint(tstun.PacketStartOffset - device.MessageTransportHeaderSize)
	_ = uint(device.MessageTransportHeaderSize - tstun.PacketStartOffset)
)

var (
	_ error = tstun.ErrClosed
	_ error = tstun.ErrFiltered

	_ func(logger.Logf, string, error)                                 = tstun.Diagnose
	_ func(logger.Logf, string) (tun.Device, string, error)            = tstun.New
	_ func() tun.Device                                                = tstun.NewFake
	_ func(logger.Logf, tun.Device) *tstun.Wrapper                     = tstun.Wrap
	_ func(logger.Logf, tun.Device) *tstun.Wrapper                     = tstun.WrapTAP
	_ func(*packet.Parsed, *tstun.Wrapper) filter.Response             = tstun.FilterFunc(nil)
	_ tstun.FilterFunc                                                 = (func(*packet.Parsed, *tstun.Wrapper) filter.Response)(nil)
	_ func(*tstun.Wrapper) error                                       = (*tstun.Wrapper).Close
	_ func(*tstun.Wrapper) chan tun.Event                              = (*tstun.Wrapper).EventsUpDown
	_ func(*tstun.Wrapper) *os.File                                    = (*tstun.Wrapper).File
	_ func(*tstun.Wrapper) *filter.Filter                              = (*tstun.Wrapper).GetFilter
	_ func(*tstun.Wrapper) time.Duration                               = (*tstun.Wrapper).IdleDuration
	_ func(*tstun.Wrapper, []byte) error                               = (*tstun.Wrapper).InjectInboundCopy
	_ func(*tstun.Wrapper, []byte, int) error                          = (*tstun.Wrapper).InjectInboundDirect
	_ func(*tstun.Wrapper, *stack.PacketBuffer) error                  = (*tstun.Wrapper).InjectInboundPacketBuffer
	_ func(*tstun.Wrapper, []byte) error                               = (*tstun.Wrapper).InjectOutbound
	_ func(*tstun.Wrapper, *stack.PacketBuffer) error                  = (*tstun.Wrapper).InjectOutboundPacketBuffer
	_ func(*tstun.Wrapper) (int, error)                                = (*tstun.Wrapper).MTU
	_ func(*tstun.Wrapper) (string, error)                             = (*tstun.Wrapper).Name
	_ func(*tstun.Wrapper, map[netip.Addr]func())                      = (*tstun.Wrapper).SetDestIPActivityFuncs
	_ func(*tstun.Wrapper, key.DiscoPublic)                            = (*tstun.Wrapper).SetDiscoKey
	_ func(*tstun.Wrapper, *filter.Filter)                             = (*tstun.Wrapper).SetFilter
	_ func(*tstun.Wrapper, bool)                                       = (*tstun.Wrapper).SetStatisticsEnabled
	_ func(*tstun.Wrapper) tun.Device                                  = (*tstun.Wrapper).Unwrap
	_ func(*tstun.Wrapper) tstun.Counters                              = (*tstun.Wrapper).Counters
	_ func(*tstun.Wrapper) *tstun.Unbatched                            = (*tstun.Wrapper).Unbatched
	_ func(*tstun.Unbatched, []byte, int) (int, error)                 = (*tstun.Unbatched).Read
	_ func(*tstun.Unbatched, []byte, int) (int, error)                 = (*tstun.Unbatched).Write
	_ func(*tstun.Unbatched) error                                     = (*tstun.Unbatched).Flush
	_ func(*tstun.Unbatched) chan tun.Event                            = (*tstun.Unbatched).Events
	_ func(*tstun.Unbatched) *os.File                                  = (*tstun.Unbatched).File
	_ func(*tstun.Unbatched) (int, error)                              = (*tstun.Unbatched).MTU
	_ func(*tstun.Unbatched) (string, error)                           = (*tstun.Unbatched).Name
	_ func(*tstun.Unbatched) error                                     = (*tstun.Unbatched).Close
	_ tun.Device                                                       = (*tstun.Wrapper)(nil)
	_ func(*tstun.Wrapper) map[netlogtype.Connection]netlogtype.Counts = (*tstun.Wrapper).ExtractStatistics
)

var _ = tstun.Wrapper{
	PreFilterIn:                tstun.FilterFunc(nil),
	PostFilterIn:               tstun.FilterFunc(nil),
	PreFilterFromTunToNetstack: tstun.FilterFunc(nil),
	PreFilterFromTunToEngine:   tstun.FilterFunc(nil),
	PostFilterOut:              tstun.FilterFunc(nil),
	OnTSMPPongReceived:         (func(packet.TSMPPongReply))(nil),
	OnICMPEchoResponseReceived: (func(*packet.Parsed) bool)(nil),
	PeerAPIPort:                (func(netip.Addr) (port uint16, ok bool))(nil),
}
