package packet

import "strings"

// TCPFlag is a set of TCP control bits, as in byte 13 of the TCP header.
type TCPFlag uint8

// The TCP control bits. RFC 9293 §3.1.
const (
	TCPFin     TCPFlag = 1 << iota // sender has no more data
	TCPSyn                         // synchronize sequence numbers
	TCPRst                         // reset the connection
	TCPPsh                         // push
	TCPAck                         // the acknowledgment field is valid
	TCPUrg                         // the urgent pointer is valid
	TCPECNEcho                     // RFC 3168 §6.1
	TCPCWR                         // congestion window reduced, RFC 3168 §6.1

	// TCPSynAck is the second segment of a handshake.
	TCPSynAck = TCPSyn | TCPAck
)

var tcpFlagNames = [8]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// String returns the flags' names joined by "|", such as "SYN|ACK", or "-"
// if none is set.
func (f TCPFlag) String() string {
	if f == 0 {
		return "-"
	}
	var names []string
	for i, name := range tcpFlagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}
