package netstack

import (
	"context"
	"errors"
	"net"
	"strconv"
)

// knownServices are common knownServices by network (IANA, Service Name and Transport
// Protocol Port Number Registry).
var knownServices = map[string]map[string]int{
	"tcp": {
		"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "whois": 43, "domain": 53, "gopher": 70, "finger": 79,
		"http": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "nntp": 119, "imap": 143, "imap2": 143, "snmp": 161,
		"bgp": 179, "imap3": 220, "ldap": 389, "https": 443, "submissions": 465, "submission": 587, "ldaps": 636,
		"domain-s": 853, "rsync": 873, "ftps": 990, "imaps": 993, "pop3s": 995, "socks": 1080, "mqtt": 1883,
		"nfs": 2049, "mysql": 3306, "sip": 5060, "sips": 5061, "xmpp-client": 5222, "postgresql": 5432, "amqp": 5672,
		"http-alt": 8080, "secure-mqtt": 8883,
	},
	"udp": {
		"domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "kerberos": 88, "sunrpc": 111, "ntp": 123,
		"snmp": 161, "snmp-trap": 162, "snmptrap": 162, "https": 443, "isakmp": 500, "syslog": 514, "domain-s": 853,
		"nfs": 2049, "sip": 5060, "mdns": 5353,
	},
}

// LookupPort returns the port number of a service: a number itself, or the
// name of a common service, of which it knows some, by heart. network is tcp,
// tcp4, tcp6, udp, udp4, udp6, or ip for what either has, TCP first; another is
// a *net.AddrError, as is a number that is no port.
func (r *Resolver) LookupPort(_ context.Context, network, service string) (int, error) {
	if service == "" {
		return 0, nil // as package net
	}
	port, err := strconv.Atoi(service)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		if err != nil || port < 0 || port > 65535 {
			return 0, &net.AddrError{Err: "invalid port", Addr: service}
		}
		return port, nil
	}
	var tables []string
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
		network = network[:3]
		tables = []string{network}
	case "ip", "":
		network = "ip"
		tables = []string{"tcp", "udp"}
	default:
		return 0, &net.AddrError{Err: "unknown network", Addr: network}
	}
	for _, table := range tables {
		if port, ok := knownServices[table][lower(service)]; ok {
			return port, nil
		}
	}
	return 0, &net.DNSError{Err: "unknown port", Name: network + "/" + service, IsNotFound: true}
}
