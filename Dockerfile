# The image of rollspan: docker build --build-arg VERSION=v1.2.3 -t rollspan/rollspan:dev .
#
# Nothing but the program and the certificates to verify a collector by, and
# a user that is not root. (Untested: there was no container engine where this
# was written. The go build line is the one that was tried.)
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY main.go ./
COPY pkg ./pkg
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/rollspan/rollspan/pkg/cli.version=${VERSION}" -o /rollspan .

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /rollspan /rollspan
USER 65532:65532
ENTRYPOINT ["/rollspan"]
