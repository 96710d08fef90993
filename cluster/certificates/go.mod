// cert-manager, for its CRDs alone: the chart's Certificates and Issuers are held to them in tests/tls.
module tidegate.dev/certificates

go 1.26.6

require github.com/cert-manager/cert-manager v1.16.2
