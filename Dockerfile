# One static file in an empty image. Mount the folder with config.json, key.json, platform.json and .env at /data:
#   docker build -t ai-api-proxy . && docker run --stop-timeout 45 -p 5000:5000 -v "$PWD:/data" ai-api-proxy
# Clients come from the address of Docker's bridge, none from "this machine": `root_key` is refused, so put a root key of
# your own into key.json first. Docker kills 10 seconds after SIGTERM unless told otherwise, and `drain_seconds` is 30.
FROM rust:1 AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked && cp target/*/release/ai-api-proxy /ai-api-proxy

FROM scratch
COPY --from=build /ai-api-proxy /ai-api-proxy
EXPOSE 5000
ENTRYPOINT ["/ai-api-proxy", "--dir", "/data"]
