# One static file in an empty image. Mount the folder with config.json, key.json, platform.json and .env at /data:
#   docker build -t ai-api-proxy . && docker run -p 5000:5000 -v "$PWD:/data" ai-api-proxy
FROM rust:1 AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked && cp target/*/release/ai-api-proxy /ai-api-proxy

FROM scratch
COPY --from=build /ai-api-proxy /ai-api-proxy
EXPOSE 5000
ENTRYPOINT ["/ai-api-proxy", "--dir", "/data"]
