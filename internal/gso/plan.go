package gso

import (
	"encoding/binary"

	"tstun/ipproto"
	"tstun/packet"
)

// Groups returns the number of groups that Plan made.
func (j *Joiner) Groups() int { return len(j.groups) }

// First returns the index of the group's first packet.
func (j *Joiner) First(group int) int { return int(j.groups[group].first) }

// After returns the index of the packet that follows packet i in its group,
// or -1 if it is the last.
func (j *Joiner) After(i int) int { return int(j.next[i]) }

// Len returns how many packets the group has, at least 1. Only a group of more
// than one has a Header.
func (j *Joiner) Len(group int) int { return int(j.groups[group].n) }

// Header writes the headers of the group's super-packet to dst, of at least
// MaxHeader bytes, and returns how to describe it. The super-packet are the
// HeaderLen bytes written, and then what each member has behind as many.
// first is the group's first packet.
func (j *Joiner) Header(group int, first, dst []byte) Virtio {
	g := &j.groups[group]
	dst = dst[:g.header]
	copy(dst, first)
	length := g.total - g.transport
	v := Virtio{
		Flags:         needsChecksum,
		Type:          typeTCPv6,
		HeaderLen:     uint16(g.header),
		Size:          uint16(g.size),
		ChecksumStart: uint16(g.transport),
	}
	if g.transport == minIPv4Header {
		v.Type = typeTCPv4
		binary.BigEndian.PutUint16(dst[2:], uint16(g.total))
		dst[10], dst[11] = 0, 0
		binary.BigEndian.PutUint16(dst[10:], ^packet.Checksum(dst[:minIPv4Header], 0))
	} else {
		binary.BigEndian.PutUint16(dst[4:], uint16(length))
	}
	transport := dst[g.transport:]
	v.ChecksumOffset = tcpChecksumAt
	if g.proto == ipproto.UDP {
		v.Type, v.ChecksumOffset = typeUDP, udpChecksumAt
		binary.BigEndian.PutUint16(transport[4:], uint16(length))
	} else if g.push {
		transport[13] |= tcpPSH
	}
	binary.BigEndian.PutUint16(transport[v.ChecksumOffset:], packet.Fold(uint64(g.sums.pseudo)+uint64(length)))
	return v
}
