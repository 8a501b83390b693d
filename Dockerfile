# syntax=docker/dockerfile:1
FROM node:24-slim AS base
WORKDIR /app
COPY package.json package-lock.json ./

# The image brings Node 24 itself: no install script is needed here (nor the script before `build`, which is for checkouts).
FROM base AS build
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build --ignore-scripts

FROM base AS dependencies
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-slim
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="itwin-jobs-gateway" \
      org.opencontainers.image.description="A rate-limited front of the iTwin Reality Modeling jobs API" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/node:24-slim"
# The gateway tells its revision in its log and its metrics; the version it reads in package.json.
ENV NODE_ENV=production \
    REVISION="${REVISION}"
WORKDIR /app
COPY package.json ./
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# By number: a platform that admits only users who are not root has to see it. All of /app is root's, and nothing is written.
USER 1000:1000
EXPOSE 3000
# Neither goes through a shell, so that signals reach the gateway itself; the base image's own entrypoint is a shell script.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["node", "dist/health/check.js"]
ENTRYPOINT ["node"]
# A small nursery, in MB: with V8's own, what reads leave behind is moved to where it is seldom collected, and the process takes
# more than twice the memory for the same work.
CMD ["--max-semi-space-size=4", "dist/main.js"]
