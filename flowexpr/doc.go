// Package flowexpr compiles filter expressions in tcpdump's words and in tstun's own:
//
//	tcp port 443 and not src net 10.0.0.0/8
//	in and dropped and (reason no-rule or shields-up)
//	peer laptop and udp port 53 or 5353
//
// Compile makes an Expr of the text, or says at which byte it is wrong and what would be
// right. Expr.Match tells whether it is true of a Subject: a packet, the record of a flow,
// or the record of a refused flow. A match allocates nothing.
//
// The words mean what pcap-filter(7) says they mean on packets without a link layer.
// docs/expressions.md has the grammar, and each difference.
package flowexpr
