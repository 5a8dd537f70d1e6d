package flowexpr

// service is a name of a port, over the protocols that have it.
type service struct {
	over transports
	port uint16
}

// services are some of Debian's /etc/services, as pcap-filter(7) reads it: of a name that
// both TCP and UDP have, the port is any protocol's.
var services = map[string]service{
	"ftp-data": {overTCP, 20}, "ftp": {overTCP, 21}, "ssh": {overTCP, 22}, "telnet": {overTCP, 23}, "smtp": {overTCP, 25},
	"domain": {overTCP | overUDP, 53}, "bootps": {overUDP, 67}, "bootpc": {overUDP, 68}, "tftp": {overUDP, 69},
	"http": {overTCP, 80}, "kerberos": {overTCP | overUDP, 88}, "pop3": {overTCP, 110}, "sunrpc": {overTCP | overUDP, 111},
	"ntp": {overUDP, 123}, "imap2": {overTCP, 143}, "snmp": {overTCP | overUDP, 161}, "bgp": {overTCP, 179},
	"ldap": {overTCP | overUDP, 389}, "https": {overTCP | overUDP, 443}, "microsoft-ds": {overTCP, 445},
	"syslog": {overTCP | overUDP, 514}, "submission": {overTCP, 587}, "ldaps": {overTCP | overUDP, 636}, "domain-s": {overTCP | overUDP, 853},
	"imaps": {overTCP, 993}, "pop3s": {overTCP, 995}, "openvpn": {overTCP | overUDP, 1194}, "nfs": {overTCP | overUDP, 2049},
	"mysql": {overTCP, 3306}, "ms-wbt-server": {overTCP, 3389}, "sip": {overTCP | overUDP, 5060}, "mdns": {overUDP, 5353},
	"postgresql": {overTCP, 5432},
}
