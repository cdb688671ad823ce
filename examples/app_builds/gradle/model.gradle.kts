// In app/build.gradle.kts: apply(from = "model.gradle.kts"). The model arrives in the app's assets.
val modelFolder = layout.buildDirectory.dir("model")
val buildModel = tasks.register<Exec>("buildModel") {
    workingDir = rootDir.resolve("digits") // the folder with edgekit.toml
    inputs.files(fileTree(workingDir) { exclude("edgekit-out/**", "**/__pycache__/**") })
    outputs.dir(modelFolder)
    commandLine("edgekit", "build", "--target", "tflite-int8", "--output", modelFolder.get().asFile.path)
}
val copyModel = tasks.register<Copy>("copyModel") {
    from(buildModel) { include("tflite-int8/*.tflite") }
    into(layout.projectDirectory.dir("src/main/assets"))
}
tasks.named("preBuild") { dependsOn(copyModel) }
