# What kube-proxy and the pod network run: iptables, nft, ip and conntrack with the libraries they load, and a shell.
ARG DEBIAN
FROM ${DEBIAN} AS tools
COPY gather.sh /
RUN /bin/sh /gather.sh /tools
FROM scratch
COPY --from=tools /tools /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
